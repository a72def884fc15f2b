"""The theorem: flatter interpolation of Gaussian data tightens non-members (Kim et al. 2023)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import LOG_TICKS, Panel, Trace, short
from analysis.results import Tables
from analysis.studies.theory import Outcome, Setting, predict, simulate

SHOWN = {
    "variance": ("variance of non-members", "@a", "circle"),
    "confidence_advantage": ("advantage, confidence attack", "@b", "square"),
    "lr_advantage": ("advantage, LiRA", "@good", "diamond"),
}
POOLS, REPLICAS = 6, 32


class TheoryInfo(NamedTuple):
    """Each figure relative to SGD (eta = 0): closed form over eta, and simulated ``[pools, etas]``."""

    eta: NDArray[np.float64]
    predicted: dict[str, NDArray[np.float64]]
    simulated_eta: NDArray[np.float64]
    simulated: dict[str, NDArray[np.float64]]


@cache
def theory_info() -> TheoryInfo:
    """The default setting of ``analysis.studies.theory``; takes seconds the first time."""
    setting = Setting()
    eta, few = np.logspace(-2, 1, 25), np.logspace(-2, 1, 4)
    base = predict(setting, 0.0)
    closed = [predict(setting, float(e)) for e in eta]
    seen: Outcome = simulate(setting, [0.0, *few.tolist()], pools=POOLS, replicas=REPLICAS)
    predicted = {name: np.array([getattr(o, name) for o in closed]) / getattr(base, name) for name in SHOWN}
    simulated = {name: getattr(seen, name)[:, 1:] / getattr(seen, name)[:, :1] for name in SHOWN}
    return TheoryInfo(eta, predicted, few, simulated)


def _traces(_: Tables) -> list[Trace]:
    info = theory_info()
    return [trace for name, how in SHOWN.items() for trace in _pair(info, name, *how)]


def _pair(info: TheoryInfo, name: str, title: str, colour: str, symbol: str) -> tuple[Trace, Trace]:
    pools = info.simulated[name]
    line: Trace = {
        "type": "scatter",
        "x": short(info.eta),
        "y": short(info.predicted[name]),
        "mode": "lines",
        "name": title,
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"{title}<br>eta %{{x:.3g}}<br>%{{y:.3f}} of SGD<extra></extra>",
    }
    dots: Trace = {
        "type": "scatter",
        "x": short(info.simulated_eta),
        "y": short(pools.mean(axis=0)),
        "error_y": {
            "type": "data",
            "array": short(1.96 * pools.std(axis=0, ddof=1) / np.sqrt(len(pools))),
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
        f" attacks, 95 % intervals over {POOLS} pools."
    ),
    layout={
        "xaxis": {"title": {"text": "eta, weight of sharpness"}, "type": "log", "tickvals": LOG_TICKS},
        "yaxis": {"title": {"text": "Relative to SGD"}},
        "showlegend": True,
        "margin": {"l": 56, "r": 26, "t": 12, "b": 84},
    },
    backdrop=_traces,
)
