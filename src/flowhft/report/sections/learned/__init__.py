"""What the shipped policy is worth: targets, every cell, the parts of its gain, its dial, studies.

words     what several of them share: the sentences of a section, titles of metrics
verdict   targets, and the headline
cells     ours against the best expert in every cell of every market; the paper's printed rows
worth     spread, inventory, drift and forecasts
dial      PnL against drawdown over the risk dial, one panel a cell
studies   small trainings, one point a seed
unseen    markets never seen
"""
