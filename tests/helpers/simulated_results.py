"""A sweep directory with made-up but lawful results, as large as a test wants it: tables only, no records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from trainables.labels import labels
from trainables.records import content_id

ATTACKS = {
    "lira": 1.0,
    "lira_offline": 0.9,
    "rmia": 1.05,
    "confidence": 0.6,
    "modified_entropy": 0.62,
    "loss": 0.61,
    "entropy": 0.5,
    "attack_p": 0.55,
    "attack_r": 0.8,
    "calibrated_loss": 0.7,
    "rmia_offline": 0.95,
    "correctness": 0.2,
}
LEVELS = {"10pct": 0.1, "1pct": 0.01, "0.1pct": 0.001}


def recipes(count: int, rng: np.random.Generator) -> dict[str, dict[str, object]]:
    """The plain optimizers first, then combinations with noise and penalty."""
    found: dict[str, dict[str, object]] = {}
    step = 0
    while len(found) < count:
        optimizer = ["sgd", "sam", "asam", "gsam", "looksam"][step % 5]
        coarse = count <= 100
        knobs: dict[str, object] = {"optimizer": optimizer, "lr": 0.1, "epochs": 40}
        if optimizer != "sgd":
            knobs["rho"] = (
                [0.05, 0.1, 0.2][step // 5 % 3] if coarse else round(float(rng.uniform(0.01, 1)), 3)
            )
        if step >= 5 and step % 3:
            knobs["noise"] = [1.0, 2.0, 5.0][step % 3] if coarse else round(float(rng.uniform(0.1, 8)), 2)
        if step >= 10 and step % 2:
            knobs["grad_reg"] = 0.05 if coarse else round(float(rng.uniform(0, 0.2)), 3)
        if step == 6:
            knobs = {"optimizer": "dpsgd", "clip": 1.0, "noise_multiplier": 1.0, "lr": 0.1, "epochs": 40}
        found[content_id(knobs)] = knobs
        step += 1
    return found


def simulate(
    directory: Path,
    count: int = 12,
    *,
    examples: int = 300,
    seed: int = 0,
    name: str = "simulated",
    show_examples: bool = True,
    images: bool = True,
) -> Path:
    """Writes ``manifest.json`` and ``results/`` for ``count`` recipes; returns the directory."""
    rng = np.random.default_rng(seed)
    chosen = recipes(count, rng)
    results = directory / "results"
    (results / "examples").mkdir(parents=True, exist_ok=True)
    ids = list(chosen)
    strength = {i: _leak(k, rng) for i, k in chosen.items()}
    rows = [
        _row(i, label, chosen[i], strength[i], rng)
        for i, label in zip(ids, labels(chosen.values()), strict=True)
    ]
    table = pd.DataFrame(rows)
    front = _front(table["test_accuracy"].to_numpy(), table["lira_tpr_at_0.1pct"].to_numpy())
    table["on_front"] = front
    table["front_probability"] = np.where(front, rng.uniform(0.4, 1, count), rng.uniform(0, 0.4, count))
    probabilities = {"lira_tpr_at_0.1pct": table["front_probability"], "rmia_auc": rng.uniform(0, 1, count)}
    pd.concat(
        pd.DataFrame({"recipe_id": ids, "risk": risk, "probability": values})
        for risk, values in probabilities.items()
    ).to_parquet(results / "front_probabilities.parquet")
    table.to_parquet(results / "recipes.parquet")
    table.to_csv(results / "recipes.csv", index=False)
    base = rng.beta(0.3, 2.5, examples)
    for recipe_id in ids:
        _examples(base, strength[recipe_id], rng).to_parquet(results / "examples" / f"{recipe_id}.parquet")
    for file, frame in _curves(ids, strength).items():
        frame.to_parquet(results / f"{file}.parquet")
    _comparisons(table, ids[0]).to_parquet(results / "comparisons.parquet")
    _influence(ids[:50], examples, rng).to_parquet(results / "influence.parquet")
    _claims(ids).to_parquet(results / "claims.parquet")
    _theory().to_parquet(results / "theory.parquet")
    steps = np.arange(1, 65)
    growth = 0.4 * (1 - np.exp(-steps / 12))
    pd.DataFrame({"replicas": steps * count, "hypervolume": growth}).to_parquet(results / "history.parquet")
    unresolved = "correctness_tpr_at_0.1pct: 19200 non-member scores cannot resolve this level"
    notes: dict[str, object] = {"reference": ids[0], "risk": "lira_tpr_at_0.1pct", "confidence": 0.95}
    notes["notes"] = {label: [unresolved] for label in table["label"]}
    (results / "notes.json").write_text(json.dumps(notes))
    (directory / "manifest.json").write_text(json.dumps(_manifest(name, chosen, ids[0], show_examples)))
    if images:
        _pictures(results, examples, rng)
    return directory


def _leak(knobs: dict[str, object], rng: np.random.Generator) -> float:
    noise = float(knobs.get("noise", 0.0))  # type: ignore[arg-type]
    flat = 0.0 if knobs["optimizer"] in ("sgd", "dpsgd") else 0.15
    dp = 0.5 if knobs["optimizer"] == "dpsgd" else 0.0
    return max(0.02, 0.6 + flat - 0.09 * noise - dp + float(rng.normal(0, 0.02)))


def _row(
    recipe_id: str, label: str, knobs: dict[str, object], leak: float, rng: np.random.Generator
) -> dict[str, object]:
    accuracy = 0.955 + 0.03 * leak - 0.02 * np.exp(-4 * leak) + rng.normal(0, 0.0015)
    row: dict[str, object] = {
        "recipe_id": recipe_id,
        "label": label,
        "optimizer": "",
        "rho": np.nan,
        "noise": 0.0,
        "grad_reg": 0.0,
        "clip": np.nan,
        "noise_multiplier": np.nan,
    }
    row |= knobs | {"replicas": 64, "epsilon": 3.2 if knobs["optimizer"] == "dpsgd" else np.inf}
    figures = {
        "test_accuracy": (accuracy, 0.001),
        "train_accuracy": (0.999, 0.0004),
        "memorization": (0.04, 0.002),
        "memorization_rate": (0.05 * leak, 0.003),
        "nonmember_variance": (12 / leak, 0.4),
    }
    for attack, power in ATTACKS.items():
        d = leak * power
        figures |= {
            f"{attack}_auc": (norm.cdf(d / 2**0.5), 0.006),
            f"{attack}_advantage": (2 * norm.cdf(d / 2) - 1, 0.008),
            f"{attack}_balanced_accuracy": (norm.cdf(d / 2), 0.004),
        }
        figures |= {f"{attack}_tpr_at_{k}": (norm.cdf(d + norm.ppf(v)), 0.2 * v) for k, v in LEVELS.items()}
    for column, (value, half) in figures.items():
        row |= {column: value, f"{column}_low": value - half, f"{column}_high": value + half}
    row["correctness_tpr_at_0.1pct"] = np.nan
    row["train_seconds"] = float(rng.uniform(0.05, 0.2))
    return row


def _front(accuracy: np.ndarray, risk: np.ndarray) -> np.ndarray:
    order = np.lexsort((risk, -accuracy))
    on, best = np.zeros(len(risk), bool), np.inf
    for i in order:
        if risk[i] < best:
            on[i], best = True, risk[i]
    return on


def _examples(base: np.ndarray, leak: float, rng: np.random.Generator) -> pd.DataFrame:
    n = len(base)
    memorization = np.clip(base * leak * 1.2 + rng.normal(0, 0.02, n), -0.1, 1)
    table = pd.DataFrame(
        {
            "index": np.arange(n),
            "label": np.arange(n) % 10,
            "memorization": memorization,
            "memorization_se": 0.03,
            "canary": False,
        }
    )
    for attack, power in ATTACKS.items():
        table[f"risk_{attack}"] = np.clip(0.5 + power * memorization / 2 + rng.normal(0, 0.02, n), 0, 1)
    return table


def _curves(ids: list[str], strength: dict[str, float]) -> dict[str, pd.DataFrame]:
    fpr = np.concatenate([[0], np.logspace(-4, 0, 60)])
    edges = np.linspace(-5, 7, 41)
    roc, scores, buckets = [], [], []
    for i in ids:
        for attack, power in ATTACKS.items():
            d = strength[i] * power
            tpr = norm.cdf(d + norm.ppf(fpr))
            roc.append(
                pd.DataFrame(
                    {
                        "recipe_id": i,
                        "attack": attack,
                        "fpr": fpr,
                        "tpr": tpr,
                        "low": tpr * 0.93,
                        "high": np.minimum(tpr * 1.07, 1),
                    }
                )
            )
            middle = (edges[1:] + edges[:-1]) / 2
            scores.append(
                pd.DataFrame(
                    {
                        "recipe_id": i,
                        "attack": attack,
                        "left": edges[:-1],
                        "right": edges[1:],
                        "members": norm.pdf(middle - d),
                        "nonmembers": norm.pdf(middle),
                    }
                )
            )
        gain = np.array([0.02, 0.01, 0.005, 0.001, 0.0]) * strength[i]
        accuracy = np.array([0.8, 0.95, 0.99, 0.995, 1.0])
        buckets.append(
            pd.DataFrame(
                {
                    "recipe_id": i,
                    "bucket": range(1, 6),
                    "examples": 120,
                    "accuracy": accuracy,
                    "low": accuracy - 0.01,
                    "high": accuracy + 0.01,
                    "gain": gain,
                    "gain_low": gain - 0.004,
                    "gain_high": gain + 0.004,
                    "entropy_low": range(5),
                    "entropy_high": range(1, 6),
                }
            )
        )
    return {"roc": pd.concat(roc), "scores": pd.concat(scores), "buckets": pd.concat(buckets)}


def _comparisons(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    figures = [c.removesuffix("_low") for c in table.columns if c.endswith("_low")]
    values = table.set_index("recipe_id")[figures]
    long = (
        (values - values.loc[reference])
        .drop(index=reference)
        .melt(ignore_index=False, var_name="figure", value_name="difference")
    )
    ends = {"low": long["difference"] - 0.002, "high": long["difference"] + 0.002}
    return long.assign(reference_id=reference, **ends, p_value=0.01, p_adjusted=0.04).reset_index()


def _influence(ids: list[str], examples: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        {
            "recipe_id": i,
            "kind": kind,
            "test": test,
            "train": int(rng.integers(min(examples, 40))),
            "influence": (0.9 - 0.1 * rank) * (1 if kind == "helper" else -1),
            "rank": rank,
        }
        for i in ids
        for kind in ("helper", "harmer")
        for test in range(10)
        for rank in range(3)
    ]
    return pd.DataFrame(rows)


def _claims(ids: list[str]) -> pd.DataFrame:
    rows = [
        (
            "SAM tests better than SGD",
            "CIFAR-100: 80.30 to 81.60 %",
            "test_accuracy",
            0.009,
            0.006,
            0.012,
            "reproduced",
        ),
        (
            "SAM leaks more than SGD",
            "CIFAR-10: LiRA TPR at 0.1 % FPR 8.8 to 12.5 %",
            "lira_tpr_at_0.1pct",
            0.004,
            0.001,
            0.007,
            "reproduced",
        ),
        ("SAM memorizes more", "+12.3 %", "memorization", -0.005, -0.007, -0.003, "contradicted"),
        (
            "Other flat optimizers behave alike",
            "GSAM, LookSAM",
            "lira_auc",
            0.001,
            -0.004,
            0.006,
            "cannot tell",
        ),
    ]
    return pd.DataFrame(
        [
            {
                "claim": c,
                "published": p,
                "figure": f,
                "recipe_id": ids[-1],
                "reference_id": ids[0],
                "estimate": e,
                "low": lo,
                "high": hi,
                "verdict": v,
                "records": f"{ids[-1]}, {ids[0]}",
            }
            for c, p, f, e, lo, hi, v in rows
        ]
    )


def _theory() -> pd.DataFrame:
    """Smooth curves; simulated at every eighth point."""
    eta = np.logspace(-2, 1, 25)
    parts = []
    for name, slope in (("variance", -0.2), ("confidence_advantage", 0.05), ("lr_advantage", 0.02)):
        predicted = 1 + slope * np.log1p(eta)
        part = pd.DataFrame({"metric": name, "eta": eta, "predicted": predicted})
        some = part.index[::8]
        part.loc[some, ["simulated", "low", "high"]] = predicted[::8, None] + [0, -0.01, 0.01]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _manifest(
    name: str, chosen: dict[str, dict[str, object]], reference: str, show: bool
) -> dict[str, object]:
    context = {
        "dataset": {"name": name},
        "fingerprint": "f" * 16,
        "model": {"name": "mlp", "hidden": [128, 128]},
        "subsets": {"scheme": "half"},
        "sweep_seed": 0,
        "queries": 1,
    }
    return {
        "name": name,
        "context": context,
        "context_id": "0" * 10,
        "recipes": chosen,
        "reference": reference,
        "seeds": 64,
        "versions": {"python": "3.11", "torch": "2.15"},
        "hardware": {"cpu": "a processor", "cores": 2},
        "git": None,
        "stack": 64,
        "seconds_per_replica": 0.1,
        "created": "2026-01-01T00:00:00+00:00",
        "show_examples": show,
        "audit": {"reference": "sgd"},
        "spec": {"name": name, "dataset": "digits", "subsets": {"scheme": "half", "seeds": 64}},
    }


def _pictures(results: Path, examples: int, rng: np.random.Generator) -> None:
    from analysis.report.pictures import Pictures

    train = np.arange(min(examples, 60))
    pictures = Pictures(
        train_index=train,
        train_label=train % 10,
        train_x=rng.integers(0, 256, (len(train), 1, 8, 8), dtype=np.uint8),
        test_index=np.arange(10),
        test_label=np.arange(10),
        test_x=rng.integers(0, 256, (10, 1, 8, 8), dtype=np.uint8),
        class_names=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    )
    (results / "pictures.npz").write_bytes(pictures.to_bytes())
