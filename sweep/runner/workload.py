"""What a trial trains, for those who time it before there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainables.recipe import Recipe
from trainables.records import Context

if TYPE_CHECKING:
    from trainables.engine.stack import Task


@dataclass(frozen=True)
class Workload:
    """What a trial trains, and how. ``data`` is the data set's reference in Ray's object store."""

    recipe: Recipe
    data: Any
    context: Context
    device: str
    threads: int
    compile: str | None

    def task(self) -> Task:
        """The task in a process of Ray's, whose threads are set as a trial's."""
        import ray
        import torch

        from trainables.engine.stack import make_task

        torch.set_num_threads(self.threads)
        return make_task(
            self.recipe,
            ray.get(self.data),
            self.context.model,
            self.context.subsets,
            device=self.device,
            compile=self.compile,
        )
