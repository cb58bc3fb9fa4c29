"""Recordings of real markets: the tick schema, readers, validation and the order book."""

from flowhft.recordings.book import TopOfBook, book_at, mid_at, rebuild, top_of_book
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.formats.sample import sample_recording
from flowhft.recordings.market_orders import MarketOrders, market_orders
from flowhft.recordings.split import split, window
from flowhft.recordings.ticks import Finding, Recording

__all__ = [
    "Finding",
    "MarketOrders",
    "Recording",
    "TopOfBook",
    "book_at",
    "market_orders",
    "mid_at",
    "read_recording",
    "rebuild",
    "sample_recording",
    "split",
    "top_of_book",
    "window",
]
