"""Simulated markets: price, arrivals and fills, and the scenarios that name them."""
