"""Replay of recordings: frozen policies quote into a real market's past, queue by queue and tick by tick."""
