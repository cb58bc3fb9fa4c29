"""Recordings of real markets: the tick schema, readers, validation and the order book."""
