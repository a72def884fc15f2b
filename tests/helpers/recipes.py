"""Recipes of every optimizer, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from trainables.optimizers.registry import OPTIMIZERS

POSITIVE = st.floats(1e-4, 10)


OWN = {
    "rho": POSITIVE,
    "eta": st.just(0) | POSITIVE,
    "alpha": st.just(0) | POSITIVE,
    "k": st.integers(1, 9),
    "sigma": st.just(0) | POSITIVE,
    "lmbda": st.floats(0, 1),
    "beta": st.floats(0.01, 1),
    "gamma": st.floats(0.01, 1),
    "m": st.none() | st.integers(1, 64),
    "swa_start": st.floats(0, 0.99),
    "clip": POSITIVE,
    "noise_multiplier": POSITIVE,
    "delta": st.floats(1e-8, 0.1),
}


COMMON = {
    "epochs": st.integers(1, 100),
    "lr": POSITIVE,
    "momentum": st.just(0) | st.floats(0.1, 0.99),
    "weight_decay": st.just(0) | POSITIVE,
    "schedule": st.sampled_from(["constant", "cosine", "linear"]),
    "noise": st.just(0) | POSITIVE,
    "label_smoothing": st.floats(0, 0.9),
    "augment": st.lists(st.sampled_from(["flip", "crop", "cutout"]), max_size=3),
}


@st.composite
def knobs(draw) -> dict:
    name = draw(st.sampled_from(sorted(OPTIMIZERS)))
    optimizer = OPTIMIZERS[name]
    out = {"optimizer": name, **{knob: draw(OWN[knob]) for knob in sorted(optimizer.needs)}}
    if optimizer.private:
        out["noise_multiplier"] = draw(POSITIVE)
    optional = sorted((optimizer.takes.keys() & OWN.keys()) - out.keys())
    for knob in draw(st.sets(st.sampled_from(optional))) if optional else ():
        out[knob] = draw(OWN[knob])
    for knob in draw(st.sets(st.sampled_from(sorted(COMMON)))):
        out[knob] = draw(COMMON[knob])
    return out
