"""What a path came to: measures per path, their table, estimators over paths, running moments, intervals.

measures    the numbers of one path, folded step by step or of a whole trajectory
estimators  mean, Sharpe ratio and their intervals, from measures
criteria    what may decide between policies
moments     the same from running sums, for any number of paths
table       `METRICS`: name, unit, definition and direction of every metric, and comparisons of policies
intervals   of few sessions
sessions    one long path, cut into sessions
bootstrap   the name of `sessions` before
"""
