"""Which training recipe gives the best accuracy for the privacy that you can afford, in one import.

- `open` a finished sweep: `Results` has tables, and a method for each figure.
- `run` a `SweepSpec`: train what is missing on a Ray cluster, audit it, draw its page.
- `load_sweep` the ensembles of a sweep, `audit` them anew.
- `train_replicas` of a `Recipe` without Ray.
- `UserError` is a mistake in what was asked for, `RunError` a run that failed.

>>> import flatleak
>>> results = flatleak.open("runs/digits")            # doctest: +SKIP
>>> results.front().show()                            # doctest: +SKIP
>>> results.roc("sam rho=0.1", risk="rmia_auc")       # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import analysis
import sweep
import trainables

_HERE = Path(__file__).parent
for _package in (analysis, sweep, trainables):
    if _HERE not in Path(_package.__file__ or "/").parents:
        _hides = _package.__file__ or next(iter(_package.__path__))
        raise ImportError(
            f"flatleak's package {_package.__name__!r} is hidden by {_hides}; "
            "rename that folder, or start Python elsewhere"
        )

from analysis import Results, audit, load_results, load_sweep  # noqa: E402
from sweep import SweepSpec, run  # noqa: E402
from trainables import Recipe, train_replicas  # noqa: E402
from trainables.errors import RunError, UserError  # noqa: E402

__all__ = [
    "Recipe",
    "Results",
    "RunError",
    "SweepSpec",
    "UserError",
    "audit",
    "load_results",
    "load_sweep",
    "open",
    "run",
    "train_replicas",
]


def open(directory: Any) -> Results:
    """Open the results of a finished audit; see `analysis.load_results`.

    Args:
        directory: A sweep directory, as a path or a URI.

    Returns:
        Tables, and a method for each figure.

    Raises:
        UserError: The directory holds no audited results.
    """
    return load_results(directory)
