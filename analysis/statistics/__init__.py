"""Curves, intervals, and the noise of what all targets share: shadows and thresholds."""
