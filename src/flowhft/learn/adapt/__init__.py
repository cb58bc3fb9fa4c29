"""Adaptation: fit the small map behind a policy to today's market, the policy itself frozen.

adapt              the method's choice on validation paths, judged once on fresh ones
objective          the score of a candidate with the influence of every path, by which candidates are compared
search             what a search returns, its rows, and which choices lie on the edge of what was searched
coordinate_search  one direction after the other, on grids that shrink
paper              the paper's: scale and an offset per side on a grid; the offsets that it printed
state              offsets, scale, skew and slope: a grid, then CMA-ES
notes              quotes at nodes of inventory along paths: what the gradient is worked out on
gradient           Adam through the law of inventory and wealth, for the map
last_layer         the same for the output layer of a flow network
"""
