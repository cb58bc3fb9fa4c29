"""What users check their own policies with."""

from flowhft.testing.check import CheckError, check_policy

__all__ = ["CheckError", "check_policy"]
