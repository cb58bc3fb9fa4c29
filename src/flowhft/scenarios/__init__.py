"""Scenarios: the parameters of a market with a name, files and presets of them, and what is known of one."""
