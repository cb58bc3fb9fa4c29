"""Policies as data, in numpy: rules, adapters, and the plan by which a network is asked."""
