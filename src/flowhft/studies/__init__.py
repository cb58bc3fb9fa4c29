"""The FlowHFT paper's tables against ours: what agrees, what cannot be right, what its errors were worth.

paper           the numbers that the paper prints
comparison      printed against measured, entry by entry and in summary
contradictions  printed numbers that cannot all be right, whatever the parameters were
reasons         what the numbers say of the entries that are furthest off
effects         each error of the paper's runs mended alone, paired
frontier_gap    policies against the oracle's frontier
document        what was found -> a page of blocks
figures         what it draws
reproduction    the stages of all that, into a run folder
page            a page, its tables and its report, from what the stages of a study found
demo            the whole line, from a recording to a judged policy and a report
learned/        what the shipped policy is worth
real/           every policy on every recording of a folder
realism/        is a calibrated market like its recording
walk_forward/   calibrate, adapt, trade, roll on
"""
