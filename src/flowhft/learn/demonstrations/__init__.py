"""Demonstrations: experts in many scenarios, what they saw and quoted, as a data set."""
