"""Membership inference: ``(signals, members) -> scores``, higher = more likely a member."""

from analysis.attacks.lira import lira
from analysis.attacks.rmia import rmia
from analysis.attacks.threshold import threshold

__all__ = ["lira", "rmia", "threshold"]
