"""The published study: its claims, scores and theory, and the pages of findings.

Nothing outside this package imports it: an audit with ``claims: true`` finds `study` by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from analysis.audit.sweep_audit import Results


def study(results: Results) -> dict[str, pd.DataFrame]:
    """Return the tables that an audit adds where its spec says ``audit: {claims: true}``.

    Args:
        results: the audits of a sweep.

    Returns:
        ``claims``, every published claim that the sweep can measure; ``theory``, the linear case.
    """
    from analysis.studies.claims import claims_table
    from analysis.studies.theory import relative_table

    claims = claims_table(results.ensembles, results.audit_on, **results.bootstrap)
    return {"claims": claims, "theory": relative_table()}
