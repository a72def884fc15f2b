"""Lanes: replicas that train at once on one GPU, each with its own captured steps on its own stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.engine.capture import Capture, warn_once
from trainables.engine.evaluation import Arrays
from trainables.engine.networks import DenseNetwork
from trainables.engine.stack import Stack
from trainables.engine.task import Task

MakeCapture = Callable[[torch.device], Capture | None]


class Lanes:
    """Stacks of one replica each that take their steps in turn, so that the GPU always has work.

    A replica's numbers do not depend on the lanes beside it.

    Args:
        task: What to train.
        seeds: One subset seed a lane.
        capture: Makes what captures the steps of one lane.
    """

    def __init__(self, task: Task, seeds: Sequence[int], capture: MakeCapture = Capture) -> None:
        self.task = task
        self.lanes = [Stack(task, [seed], capture(task.device)) for seed in seeds]
        self.seconds = 0.0

    @property
    def seeds(self) -> list[int]:
        """The lanes' subset seeds."""
        return [seed for lane in self.lanes for seed in lane.seeds]

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.lanes[0].steps

    @property
    def epoch(self) -> int:
        """Epochs that are done; all lanes are in the same one."""
        return self.lanes[0].epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        for lane in self.lanes:
            lane.epoch = value

    @property
    def loss(self) -> NDArray[np.float32]:
        """Mean loss of the last epoch, one a lane."""
        return np.concatenate([lane.loss for lane in self.lanes])

    def load_epoch(self) -> list[int]:
        """Draw this epoch for every lane; return the sizes of its batches."""
        sizes = [lane.load_epoch() for lane in self.lanes]
        return sizes[0]

    def train_epoch(self, limit: int | None = None) -> None:
        """Train one epoch, or its first ``limit`` steps. The host waits for each lane once, at the end."""
        start = time.perf_counter()
        sizes: list[list[int]] = []
        for lane in self.lanes:
            with lane.take.on_stream():
                sizes.append(lane.begin_epoch(limit))
        for step in range(len(sizes[0])):
            for lane, of_lane in zip(self.lanes, sizes, strict=True):
                with lane.take.beside():
                    lane.take_step(step, of_lane[step])
        if limit is None:
            for lane in self.lanes:
                lane.draw_ahead()
        for lane in self.lanes:
            with lane.take.on_stream():
                lane.finish_epoch(len(sizes[0]))
        self.seconds += time.perf_counter() - start

    def reset(self, seeds: Sequence[int]) -> None:
        """Start anew with as many other seeds; what was captured stays."""
        self.seconds = 0.0
        for lane, seed in zip(self.lanes, seeds, strict=True):
            lane.reset([seed])

    def results(self) -> Arrays:
        """Return what a record holds of these replicas, by its names."""
        parts = [lane.results() for lane in self.lanes]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return joined | {"seconds": np.full(len(self.lanes), self.seconds / len(self.lanes))}

    def arrays(self) -> Arrays:
        """Return all that the rest of training depends on, as a stack of all replicas gives it."""
        parts = [lane.arrays() for lane in self.lanes]
        joined = {
            name: np.concatenate([part[name] for part in parts]) if np.ndim(value) else value
            for name, value in parts[0].items()
        }
        return joined | {"seconds": np.array(self.seconds)}

    def restore(self, arrays: Arrays) -> bool:
        """Go on from what `arrays` gave, of lanes or of a stack; see `Stack.restore`."""
        replicas = len(self.lanes)
        if any(np.ndim(value) and len(value) != replicas for value in arrays.values()):
            return False
        parts = [{n: v[i : i + 1] if np.ndim(v) else v for n, v in arrays.items()} for i in range(replicas)]
        if not all(lane.restore(part) for lane, part in zip(self.lanes, parts, strict=True)):
            return False
        self.seconds = float(arrays["seconds"])
        return True


def make_stack(task: Task, seeds: Sequence[int]) -> Stack | Lanes:
    """Replicas that train at once: lanes on a GPU, but for plain MLPs, whose products are faster stacked.

    Args:
        task: What to train.
        seeds: One subset seed a replica.

    Raises:
        UserError: The network draws random numbers of its own, and there are several replicas.
    """
    if task.device.type != "cuda":
        return Stack(task, seeds)
    if task.dropout:
        warn_once("steps are not captured: the network draws random numbers of its own")
        return Stack(task, seeds)
    if isinstance(task.network, DenseNetwork):
        return Stack(task, seeds, Capture(task.device))
    return Lanes(task, seeds)
