"""The FlowHFT paper's tables against ours: what agrees, what cannot be right, what its errors were worth.

paper           the numbers that the paper prints
comparison      printed against measured, entry by entry and in summary
contradictions  printed numbers that cannot all be right, whatever the parameters were
reasons         what the numbers say of the entries that are furthest off
effects         each error of the paper's runs mended alone, paired
placing         policies against the oracle's frontier
document        what was found -> a page of blocks
figures         what it draws
"""
