"""Three objectives at once: accuracy, risk and the cost of training, as parallel coordinates."""

from __future__ import annotations

from analysis.report.figures.front import ACCURACY
from analysis.report.figures.panel import Panel, Trace
from analysis.results import Risk, Tables

COST = "train_seconds"


def _traces(tables: Tables, _: Risk) -> list[Trace]:
    """Return every recipe, those on the three-way front darker; none where training was not timed."""
    if COST not in tables.recipes or tables.recipes[COST].isna().all():
        return []
    axes = (("accuracy", ACCURACY, ".1%"), ("@risk-lines", "risk", "@risk-format"), ("seconds", COST, ".3~g"))
    return [
        {
            "type": "parcoords",
            "recipes": "shown",
            "objectives": {ACCURACY: 1, "risk": -1, COST: -1},
            "order": "standing",
            "line": {
                "color": "$standing",
                "colorscale": [[0, "@line"], [1 / 3, "@muted"], [2 / 3, "@a"], [1, "@b"]],
                "cmin": 0,
                "cmax": 3,
            },
            "dimensions": [
                {"label": name, "values": f"${column}", "tickformat": form} for name, column, form in axes
            ],
            "labelfont": {"color": "@ink", "size": 12},
            "tickfont": {"color": "@muted", "size": 11},
            "rangefont": {"color": "rgba(0,0,0,0)"},
        }
    ]


PANEL = Panel(
    name="objectives",
    title="Accuracy, risk and cost together",
    about=(
        "Each line is a recipe across three axes: test accuracy, the chosen risk, and seconds of"
        " training a replica. Strong lines are beaten by no other recipe in all three; the selected recipes"
        " have their colours. Drag along an axis to keep a range."
    ),
    layout={"margin": {"l": 60, "r": 60, "t": 48, "b": 24}},
    section="how",
    backdrop=_traces,
    size="broad",
    empty="Training was not timed, or no recipe has all three figures.",
)
