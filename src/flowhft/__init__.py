"""flowhft: quoting policies for market makers, learned from experts by conditional flow matching."""

__version__ = "0.1.0"
