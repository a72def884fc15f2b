"""The published study: its claims, scores and theory, the constants that they set, and the pages of findings.

Nothing outside this package imports it: an audit with ``claims: true`` finds `study` by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from analysis.audit.sweep_audit import Results

# The published mitigation (arXiv 2310.00488): attack advantage -41 % for less than 0.8 points of accuracy.
RISK_REDUCTION, ACCURACY_LOSS = 0.41, 0.008


def study(results: Results) -> dict[str, pd.DataFrame]:
    """The tables that an audit adds where its spec says ``audit: {claims: true}``.

    Args:
        results: the audits of a sweep.

    Returns:
        ``claims``, every published claim that the sweep can measure; ``theory``, the linear case.
    """
    from analysis.studies.claims import claims_table
    from analysis.studies.theory import relative_table

    claims = claims_table(results.ensembles, results.audit_on, **results.bootstrap)
    return {"claims": claims, "theory": relative_table()}
