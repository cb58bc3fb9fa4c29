"""Calibration: from a recording to the parameters of a market, with errors and goodness of fit."""
