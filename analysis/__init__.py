"""What the records mean: attacks, memorization, intervals and the Pareto front.

No Ray, and torch only where influence is computed on a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.audit.ensemble_audit import audit
from analysis.ensemble import load_sweep
from trainables.lazy import lazily

if TYPE_CHECKING:
    from analysis.report.finished import Results, load_results

__all__ = ["Results", "audit", "load_results", "load_sweep"]

__getattr__ = lazily(__name__, dict.fromkeys(("Results", "load_results"), "analysis.report.finished"))
