"""Compiled passes in captured steps, for every model; each takes up to half a minute to compile."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest

from trainables import Recipe, train_replicas
from trainables.data.dataset import Dataset
from trainables.models import MODELS

FIRST = ["resnet9", "resnet18", "wrn28-2", "cnn"]  # what the shipped studies train
OTHERS = [name for name in MODELS if name not in (*FIRST, "mlp", "wide_resnet")]

needs_compiler = pytest.mark.skipif(
    not (shutil.which("gcc") or shutil.which("clang")), reason="torch.compile needs a C compiler"
)


@needs_compiler
@pytest.mark.parametrize(
    ("name", "mode"),
    [("resnet9", "default"), ("resnet9", "reduce-overhead")]
    + [(n, "default") for n in (*FIRST[1:], *OTHERS)],
)
def test_compiling_goes_with_capture(name: str, mode: str, images: Dataset) -> None:
    recipe = Recipe(optimizer="sam", rho=0.1, epochs=1, batch_size=32, lr=0.01)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="steps run one kernel after the other")
        plain, compiled = (
            train_replicas(recipe, images, name, [0, 1], device="cuda", stack=2, compile=how)
            for how in (None, mode)
        )
    np.testing.assert_allclose(compiled.final_loss, plain.final_loss, rtol=1e-2)
