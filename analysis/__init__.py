"""What the records mean: attacks, memorization, intervals and the Pareto front.

No Ray, and torch only where influence is computed on a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.audit.ensemble_audit import audit
from analysis.ensemble import load_sweep

if TYPE_CHECKING:
    from analysis.report.finished import Results, load_results

__all__ = ["Results", "audit", "load_results", "load_sweep"]


def __getattr__(name: str) -> Any:
    """Imports the figures only when results are looked at."""
    if name in ("Results", "load_results"):
        from analysis.report import finished

        return getattr(finished, name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
