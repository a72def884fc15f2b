"""Replicas a minute on one thread: a plain PyTorch loop against stacks of replicas in lockstep.

    python benchmarks/training.py [--case TEXT] [--rounds 5] [--data ../shared/data] [--compile default]

The plain loop trains one module after another with ``torch.optim.SGD`` or the SAM of the PyPI package
pytorch-optimizer, from batches indexed out of a tensor (no DataLoader). Building the networks counts,
evaluating them does not. Methods take turns and each one's fastest turn counts, so that a busy machine is no
one's handicap. The peak is the best 1024 x 1024 float32 matrix product of the same run; the share of it
counts products and convolutions of forward and backward passes, nothing else. Memory is what a fresh process
needed at most for two epochs, beyond the loaded libraries and data. ``--compile`` adds the chosen stack with
torch.compile for networks that are not MLPs; the first turn compiles, so that does not count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from trainables.engine.calibration import fastest_stack
from trainables.engine.compilation import MODES
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.optimizers.schedule import learning_rate
from trainables.recipe import Recipe

RECIPES: dict[str, dict[str, Any]] = {"sgd": {"optimizer": "sgd"}, "sam": {"optimizer": "sam", "rho": 0.1}}
PLAIN = "plain loop"


@dataclass(frozen=True)
class Case:
    """What is trained, for how many epochs, and in which stacks besides the one that calibration chooses."""

    name: str
    dataset: dict[str, Any]
    model: dict[str, Any]
    epochs: int = 10
    stacks: tuple[int, ...] = (1,)
    optimizers: tuple[str, ...] = ("sgd", "sam")

    def task(self, optimizer: str) -> Task:
        """Return the task of one optimizer."""
        return make_task(Recipe(epochs=self.epochs, **RECIPES[optimizer]), self.dataset, self.model)


def cases(data: Path) -> list[Case]:
    """Return the cases whose data are there."""
    digits = {"name": "digits"}
    many = (1, 8, 32, 64)
    found = [
        Case("digits 64-128-10", digits, {"name": "mlp", "hidden": [128]}, stacks=many),
        Case("digits 64-128-128-10", digits, {"name": "mlp", "hidden": [128, 128]}, stacks=many),
        Case("digits 64-256-256-10", digits, {"name": "mlp", "hidden": [256, 256]}, stacks=(1, 8)),
        Case("digits cnn", digits, {"name": "cnn"}, epochs=2),
        Case("digits cnn, batch norm", digits, {"name": "cnn", "norm": "batch"}, epochs=2),
    ]
    fashion = data / "fashion8k_28.npz"
    if fashion.exists():
        images = {"name": "npz", "path": str(fashion), "train_size": 1000, "test_size": 100}
        found.append(Case("fashion cnn, width 32", images, {"name": "cnn", "width": 32}, epochs=1))
        few = {**images, "train_size": 128}
        found.append(Case("fashion wrn16-4", few, {"name": "wrn16-4"}, epochs=1, optimizers=("sam",)))
    return found


def plain_loop(task: Task, seed: int) -> None:
    """Return one replica as a tutorial would train it."""
    from pytorch_optimizer import SAM

    recipe, model = task.recipe, task.module(seed).train()
    base = {"lr": recipe.lr, "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    sharp = recipe.optimizer == "sam"
    optimizer: Any = (
        SAM(model.parameters(), torch.optim.SGD, rho=recipe.rho, **base)
        if sharp
        else torch.optim.SGD(model.parameters(), **base)
    )
    x, y = task.data.x["train"], task.data.y
    members = torch.randperm(len(y))[: task.size]
    steps = -(-task.size // recipe.batch_size)
    for step in range(recipe.epochs * steps):
        if step % steps == 0:
            batches = members[torch.randperm(len(members))].tensor_split(steps)
        inputs, labels = x[batches[step % steps]], y[batches[step % steps]]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step, recipe.epochs * steps)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        if sharp:
            optimizer.first_step(zero_grad=True)
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.second_step()
        else:
            optimizer.step()


def lockstep(task: Task, k: int) -> None:
    """Train a stack of k replicas."""
    stack = Stack(task, range(k))
    for _ in range(task.epochs):
        stack.train_epoch()


def seconds(work: Callable[[], None]) -> float:
    """Time some work, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_gflops() -> float:
    """Return what a large float32 matrix product reaches now, in GFLOP/s."""
    a = torch.randn(1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: a @ a) for _ in range(30)) / 1e9


def gflop_a_replica(task: Task) -> float:
    """Products and convolutions, forward and backward, of one replica's whole training."""
    module = task.module(0).train()
    x = task.data.rows(torch.arange(8)[None])[0]
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(module(x), task.data.y[:8]).backward()
    passes = 2 if task.recipe.optimizer == "sam" else 1
    return counter.get_total_flops() / 8 * task.size * task.epochs * passes / 1e9


def memory_of(case: Case, optimizer: str, k: int) -> float | None:
    """MiB that two epochs took beyond what a fresh process with the data held; ``k`` 0 is the plain loop."""
    torch.set_num_threads(1)
    task = Case(case.name, case.dataset, case.model, 2).task(optimizer)
    before = _status("VmRSS")
    if k:
        lockstep(task, k)
    else:
        plain_loop(task, 0)
    after = _status("VmHWM")
    return None if before is None or after is None else (after - before) / 1024


def _status(field: str) -> int | None:
    """Read a field of Linux's /proc/self/status, in KiB.

    Unlike getrusage it does not remember the parent process.
    """
    try:
        found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def in_fresh_process(*arguments: Any) -> float | None:
    """Call ``memory_of`` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(memory_of, arguments)


def measure(case: Case, optimizer: str, rounds: int, table: Table, mode: str | None) -> None:
    """Time every method on one case in turns and add a row for each to the table."""
    task = case.task(optimizer)
    peak, gflop, auto = peak_gflops(), gflop_a_replica(task), fastest_stack(task).stack
    stacks = {f"stack of {k}" + (" (auto)" if k == auto else ""): (k, task) for k in {*case.stacks, auto}}
    if mode and case.model["name"] != "mlp":
        stacks[f"stack of {auto}, compiled"] = (
            auto,
            replace(task, runtime=replace(task.runtime, compile=mode)),
        )
    best = dict.fromkeys([PLAIN, *sorted(stacks, key=lambda name: stacks[name][0])], float("inf"))
    for turn in range(rounds):
        best[PLAIN] = min(best[PLAIN], seconds(lambda turn=turn: plain_loop(task, turn)))  # type: ignore[misc]
        for name, (k, of) in stacks.items():
            best[name] = min(best[name], seconds(lambda k=k, of=of: lockstep(of, k)) / k)  # type: ignore[misc]
        peak = max(peak, peak_gflops())
    for name, duration in best.items():
        k, of = stacks.get(name, (0, task))
        memory = (
            in_fresh_process(case, optimizer, k) if k in (0, 1, auto) and not of.runtime.compile else None
        )
        table.add_row(
            case.name,
            optimizer,
            name,
            f"{duration * 1e3:.1f}",
            f"{60 / duration:.0f}",
            f"{best[PLAIN] / duration:.1f}",
            f"{gflop / duration / peak:.0%}",
            f"{peak:.0f}",
            "" if memory is None else f"{memory:.0f}",
        )
    table.add_section()


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each method (default 5)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where fashion8k_28.npz is")
    parser.add_argument("--compile", choices=MODES, help="a mode of torch.compile to try, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("model on data", "optimizer", "method", title=f"torch {torch.__version__}, one thread")
    for column in ("ms a replica", "replicas/min", "x plain", "of peak", "peak GFLOP/s", "MiB"):
        table.add_column(column, justify="right")
    for case in cases(options.data):
        for optimizer in case.optimizers if options.case in case.name else ():
            measure(case, optimizer, options.rounds, table, options.compile)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
