"""Resemblance: is a calibrated market like the recording that it was calibrated to."""
