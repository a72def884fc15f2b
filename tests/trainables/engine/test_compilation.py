"""torch.compile: the same training but for rounding, and one line where it cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

from trainables import Recipe, train_replicas
from trainables.engine.calibration import calibrate
from trainables.engine.compilation import compiled, compiler_fault
from trainables.engine.runtime import Runtime
from trainables.engine.stack import Stack
from trainables.engine.task import make_task
from trainables.errors import UserError

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
SAM = Recipe(optimizer="sam", rho=0.1, epochs=1, lr=0.01)
needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler"
)


def normed(shape: tuple[int, ...], classes: int) -> nn.Module:
    pooled = (nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), *pooled, nn.Linear(16, classes))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What others compiled is out of reach, and the other way round."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@needs_compiler
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.usefixtures("cache")
def test_a_step_of_sam_is_that_of_the_plain_network_statistics_too(k: int) -> None:
    model = f"{__name__}:normed"
    modes = (Runtime(compile=mode) for mode in (None, "default"))
    stacks = [Stack(make_task(SAM, SMALL, model, runtime=runtime), range(k)) for runtime in modes]
    for stack in stacks:
        stack.train_epoch()
    plain, ours = stacks
    moved = plain.buffers["1.running_var"] - 1
    assert moved.abs().min() > 1e-3
    for one, other in ((plain.params, ours.params), (plain.buffers, ours.buffers)):
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, atol=1e-4, rtol=1e-4)


def test_what_is_written_out_is_left_as_it_is() -> None:
    model = {"name": "mlp", "hidden": [8]}
    one, other = (train_replicas(SAM, SMALL, model, [0, 1], compile=c) for c in (None, "default"))
    np.testing.assert_array_equal(one.train.margin, other.train.margin)


@pytest.mark.usefixtures("cache")
def test_mistakes_are_one_line() -> None:
    with pytest.raises(UserError, match=r"^compile 'defualt' is not known; did you mean 'default'\?$"):
        train_replicas(SAM, SMALL, "cnn", [0, 1], compile="defualt")
    refused = pytest.raises(
        UserError, match=r"^compile 'default': torch cannot compile .*No working C\+\+.*$"
    )
    with inductor.patch({"cpp.cxx": (None, "/no/compiler")}), refused:
        compiled(lambda x: torch.sin(x) + 1, "default")(torch.ones(3))


@pytest.mark.usefixtures("cache")
def test_what_is_compiled_only_where_it_pays_is_not_where_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainables.engine.calibration.compiling_pays", lambda *_: True)
    task = make_task(SAM, SMALL, "cnn", runtime=Runtime(stack=1))
    compiler_fault.cache_clear()
    told = pytest.warns(UserWarning, match=r"^networks are not compiled: .*No working C\+\+")
    with inductor.patch({"cpp.cxx": (None, "/no/compiler")}), told:
        assert calibrate(task, 1).compile is None
    compiler_fault.cache_clear()
