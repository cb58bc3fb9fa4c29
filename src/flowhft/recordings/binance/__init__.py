"""Binance: tables of its archives and raw streams as collectors write them."""
