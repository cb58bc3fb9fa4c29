"""Tables of the study of makers that see the order book."""

from flowhft.runs.tables.schema import Column, Table

C = Column
BOOK = ("reproduce book",)
_OF_RECORDING = "currency of the recording"

TABLES = (
    Table(
        "recordings",
        BOOK,
        "a recording",
        (
            C("recording market kind", "", "name of its files; venue and symbol; kind of market"),
            C("currency", "", "of money"),
            C("seconds unseen", "s", "of it; of the part that is evaluated"),
            C("order_lots", "lots", "size of an order"),
            C("lot_size", "shares or coins", "of a lot"),
            C("answered", "share", "of improving quotes that others improved next, within a second"),
            C("unit", "ticks", "deviation of the move of the mid in a second"),
        ),
    ),
    Table(
        "evaluated",
        BOOK,
        "a recording, part, protocol, rule of fills, fee and policy",
        (
            C("recording", "", "which; `together`: shares of one day, block by block"),
            C("part", "", "unseen, controls, fold or walk"),
            C("protocol fills_by", "", "what was learned from; how orders fill"),
            C("fee_bps", "bps", "of a fill; below zero a rebate"),
            C("policy", "", "whose row it is"),
            C("pnl", _OF_RECORDING, "of the part", interval=True),
            C("less", _OF_RECORDING, "PnL less that of `glft`, block by block", interval=True),
            C("fills", "orders", "filled"),
            C("quoted", "share", "of decisions with a bid or an ask"),
            C("promised realised", _OF_RECORDING, "by the heads, of the orders that stood; by the fills"),
            C("blocks", "", "of time behind the intervals"),
            C("parts_needed", "", "as long as this one, to show at 99 % with 80 % power that it is not zero"),
            C("verdict", "", "against staying out"),
        ),
    ),
    Table(
        "refusals",
        BOOK,
        "what could not be evaluated",
        (C("recording", "", "which"), C("part", "", "of the study"), C("reason", "", "why")),
    ),
)
