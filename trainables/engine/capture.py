"""A training step captured once and replayed: the host launches one CUDA graph a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.engine.memory import out_of_memory
from trainables.errors import UserError
from trainables.optimizers.gradient_rules import CannotCapture

WARM_UP = 3  # steps before a capture: libraries load, and what is compiled is compiled
Replay = Callable[[], None]
Work = Callable[[], None]


class Kind(NamedTuple):
    """What tells steps apart that differ in more than their numbers: each kind is captured once.

    Args:
        size: Examples of the batch.
        phase: Of the optimizer, as looksam's every k-th step.
        parity: Of the epoch, where the loss depends on it.
    """

    size: int
    phase: Any = None
    parity: int = 0


class Capture:
    """How work on a device is captured and replayed; here as CUDA graphs on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def on_stream(self) -> Iterator[None]:
        """Work here runs on the stream, after what the caller's has begun; what follows waits for it."""
        outside = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(outside)
        with torch.cuda.stream(self.stream):
            yield
        outside.wait_stream(self.stream)

    def beside(self) -> Any:
        """Work here runs on the stream, beside what runs on others."""
        return torch.cuda.stream(self.stream)

    def __call__(self, work: Work) -> Replay:
        """Captures the work, without doing it, and returns what does it."""
        graph = torch.cuda.CUDAGraph()
        # Steps of one stack never run at once and leave nothing in the pool, so all may share it.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            work()
        return graph.replay


class Steps:
    """The steps of a stack by their kinds: captured where that can be done, else run as they are.

    Args:
        step: Takes a step of a kind.
        capture: How to capture; None runs every step as it is.
        kept: The tensors that a step changes; warming up leaves them as they were.
    """

    def __init__(
        self, step: Callable[[Kind], None], capture: Capture | None, kept: Callable[[], Sequence[Tensor]]
    ) -> None:
        self.step, self.capture, self.kept = step, capture, kept
        self.replays: dict[Kind, Replay] = {}

    def on_stream(self) -> Any:
        """Where the steps run."""
        return self.capture.on_stream() if self.capture else nullcontext()

    def beside(self) -> Any:
        """The same without waiting for what runs elsewhere: between steps of several stacks."""
        return self.capture.beside() if self.capture else nullcontext()

    def prepare(self, kinds: dict[Kind, Callable[[], None]]) -> None:
        """Captures every kind before training begins, so that nothing is compiled in its middle.

        Args:
            kinds: Each with what makes the host's numbers those of a step of that kind.
        """
        for kind, set_host in kinds.items():
            if self.capture and kind not in self.replays:
                before = [tensor.clone() for tensor in self.kept()]
                try:
                    self._capture(kind, before, set_host)
                finally:
                    _copy(before, self.kept())

    def _capture(self, kind: Kind, before: Sequence[Tensor], set_host: Work) -> None:
        assert self.capture is not None
        try:
            for _ in range(WARM_UP):
                _copy(before, self.kept())
                set_host()
                self.step(kind)
            _copy(before, self.kept())
            set_host()
            self.replays[kind] = self.capture(lambda: self.step(kind))
        except UserError:
            raise
        except (RuntimeError, CannotCapture) as error:
            if out_of_memory(error):
                raise
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Runs every step as it is from now on, and says so once a process and reason."""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        self.capture, self.replays = None, {}
        warn_once(f"steps run one kernel after the other, not captured: {reason}")

    def __call__(self, kind: Kind) -> None:
        """Takes a step."""
        replay = self.replays.get(kind)
        replay() if replay else self.step(kind)


@cache
def warn_once(text: str) -> None:
    """Warn, the first time in this process."""
    warnings.warn(text, stacklevel=3)


def _copy(values: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    for value, tensor in zip(values, into, strict=True):
        tensor.copy_(value)
