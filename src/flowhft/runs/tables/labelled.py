"""Tables of labels: orders that were never sent, one by one and by distance."""

from flowhft.runs.tables.schema import Column, Table

C = Column
_BY = ("label",)
_OFFSET = C("offset", "ticks", "by which an order improves its own side's best price; negative: behind it")
_RECORDING = C("recording", "", "of which")

TABLES = (
    Table(
        "labels",
        _BY,
        "an order that was tried",
        (
            C("time_ns", "nanoseconds, local clock", "of the decision"),
            C("side", "1 bid, -1 ask", "of the order"),
            _OFFSET,
            C("price", "ticks", "of the order"),
            C("filled_lots", "lots of the recording", "filled before it was withdrawn; 0 for none"),
            C("wait", "s", "from its arrival at the venue to its first fill; NaN where it has none"),
            C("hidden", "1", "whether the first fill was by a trade inside the spread"),
        ),
        note="The files are `labels-RECORDING-PART.parquet`. For every horizon H in seconds there is also "
        "`edge_H`: side x (mid H after the first fill - price), ticks a lot, before fees; NaN where there "
        "was no fill, or the recording ends before.",
    ),
    Table(
        "offsets",
        _BY,
        "a recording, offset and horizon",
        (
            _RECORDING,
            _OFFSET,
            C("horizon", "s", "after the first fill"),
            C("placed", "orders", "tried"),
            C("fills", "orders", "of them that were filled"),
            C("hidden", "orders", "of these by a trade inside the spread"),
            C("probability", "1", "share that was filled", interval=True),
            C(
                "edge",
                "ticks a lot",
                "side x (mid at the horizon - price), a lot that was filled",
                interval=True,
            ),
            C("break_even_bps", "bps", "the fee that would take the edge", interval=True),
        ),
        read=_BY,
    ),
    Table(
        "blocks",
        _BY,
        "a recording, block of time, offset and horizon",
        (
            _RECORDING,
            C("block", "1", "number of the block since the first decision; `block_seconds` in card.json"),
            _OFFSET,
            C("horizon", "s", "after the first fill"),
            C("placed", "orders", "tried"),
            C("fills", "orders", "of them that were filled"),
            C("hidden", "orders", "of these by a trade inside the spread"),
            C("known", "lots of the recording", "filled, with a mid at the horizon"),
            C("edge", "ticks x lots", "the edge of these, summed"),
            C("share", "bps x lots", "their edge over their price, summed"),
        ),
        read=_BY,
    ),
)
