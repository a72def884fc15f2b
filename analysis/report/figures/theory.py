"""The theorem: flatter interpolation of Gaussian data tightens non-members (Kim et al. 2023)."""

from __future__ import annotations

import pandas as pd

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Risk, Tables

SHOWN = {
    "variance": ("variance of non-members", "@a", "circle"),
    "confidence_advantage": ("advantage, confidence attack", "@b", "square"),
    "lr_advantage": ("advantage, LiRA", "@good", "diamond"),
}


def _traces(tables: Tables, _: Risk) -> list[Trace]:
    """Return the simulated and the predicted curves; none where the audit wrote no table of the theory."""
    table = tables.theory
    if table.empty:
        return []
    return [trace for name, look in SHOWN.items() for trace in _pair(table[table["metric"] == name], *look)]


def _pair(rows: pd.DataFrame, title: str, colour: str, symbol: str) -> tuple[Trace, Trace]:
    seen = rows.dropna(subset=["simulated"])
    line: Trace = {
        "type": "scatter",
        "x": short(rows["eta"]),
        "y": short(rows["predicted"]),
        "mode": "lines",
        "name": title,
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"{title}<br>eta %{{x:.3g}}<br>%{{y:.3f}} of SGD<extra></extra>",
    }
    dots: Trace = {
        "type": "scatter",
        "x": short(seen["eta"]),
        "y": short(seen["simulated"]),
        "error_y": {
            "type": "data",
            "array": short(seen["high"] - seen["simulated"]),
            "arrayminus": short(seen["simulated"] - seen["low"]),
            "color": colour,
            "thickness": 1,
        },
        "mode": "markers",
        "showlegend": False,
        "marker": {"color": colour, "symbol": symbol, "size": 8},
        "hovertemplate": f"{title}, simulated<br>eta %{{x:.3g}}<br>%{{y:.3f}} of SGD<extra></extra>",
    }
    return line, dots


PANEL = Panel(
    name="theory",
    title="The theorem, checked",
    about=(
        "Not of this sweep: the flattest interpolation of Gaussian data, eta the weight of sharpness,"
        " all relative to SGD (eta = 0). Lines: closed form. Points: simulation with this audit's own"
        " attacks, 95 % intervals over the simulated pools."
    ),
    layout={
        "xaxis": {"title": {"text": "eta, weight of sharpness"}, "type": "log"},
        "yaxis": {"title": {"text": "Relative to SGD"}},
        "showlegend": True,
        "margin": {"l": 56, "r": 26, "t": 12, "b": 84},
    },
    section="claims",
    size="broad",
    backdrop=_traces,
    empty="This audit wrote no table of the theory; a spec asks for it by `audit: {claims: true}`.",
)
