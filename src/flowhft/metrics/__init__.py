"""What a path came to: measures per path, their table, estimators over paths, running moments, a bootstrap.

measures    the numbers of one path, folded step by step or of a whole trajectory
estimators  mean, Sharpe ratio and their intervals, from measures
moments     the same from running sums, for any number of paths
table       `METRICS`: name, unit, definition and direction of every metric, and comparisons of policies
bootstrap   intervals of one long path, by blocks
"""
