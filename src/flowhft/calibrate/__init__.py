"""Calibration: from a recording to the parameters of a market, each with its error and its goodness of fit."""
