"""Readers, one a format, and the one that finds out which: `read`."""
