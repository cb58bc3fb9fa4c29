"""What learned policies are worth: judged in every cell, explained, ablated.

lineup       who is judged, and what each policy is for: ours, a control, an expert of the bar, a bound
cells        every policy in the test cells of a market: moments -> metrics
wins         ours against the best of a set of rivals, metric by metric, paired; counts over cells
targets      what was aimed at, what was found, hit or missed
attribution  where the gain comes from: drift, forecasts, and how much of the gap to the oracle is closed
dial         PnL, Sharpe ratio and drawdown over the risk dial
unseen       markets never seen
faithful     imitation of a teacher by policies that are told the market
studies      small trainings: which ones, and what they are to show
trainings    how they are trained and judged
summaries    means over seeds, against teachers
findings     from what stages found to the tables of the page
settings     sizes of the small trainings
sentences    the same in sentences, computed from the numbers
document     what was found -> a page of blocks
figures      what it draws; dial_figures: the risk dial
stages       a run folder for each section
reproduce    all of them, and the page
"""
