"""Bitstamp's order-by-order recordings."""
