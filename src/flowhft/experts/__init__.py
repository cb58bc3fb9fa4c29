"""Closed-form quoting experts: coefficients worked out once, then plain arithmetic.

Every expert is a module with two functions: `coefficients(estimates, risk_aversion)` does the logarithms
and roots, `quote(coefficients, observation, noise)` is arithmetic that numpy, numba and jax run alike.
"""
