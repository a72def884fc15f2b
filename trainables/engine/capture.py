"""A training step captured once and replayed: the host launches one CUDA graph a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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


TakeStep = Callable[[Kind], None]


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
        """Capture the work, without doing it, and return what does it."""
        graph = torch.cuda.CUDAGraph()
        # Steps of one stack never run at once and leave nothing in the pool, so all may share it. What other
        # threads of the process do on the device does not end the capture.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            work()
        return graph.replay


class Steps:
    """The steps of a stack by their kinds: captured where that can be done, else run as they are.

    It does not refer to the stack, so that a stack's memory is let go with the last reference to it.

    Args:
        capture: How to capture; None runs every step as it is.
    """

    def __init__(self, capture: Capture | None) -> None:
        self.capture = capture
        self.replays: dict[Kind, Replay] = {}

    def on_stream(self) -> Any:
        """Return where the steps run."""
        return self.capture.on_stream() if self.capture else nullcontext()

    def beside(self) -> Any:
        """Do the same without waiting for what runs elsewhere: between steps of several stacks."""
        return self.capture.beside() if self.capture else nullcontext()

    def prepare(self, kinds: Mapping[Kind, Work], step: TakeStep, kept: Sequence[Tensor]) -> None:
        """Capture every kind before training begins, so that nothing is compiled in its middle.

        Args:
            kinds: Each with what makes the host's numbers those of a step of that kind.
            step: Takes a step of a kind.
            kept: The tensors that a step changes; they are left as they were.
        """
        before = [tensor.clone() for tensor in kept]
        for kind, set_host in kinds.items():

            def anew(set_host: Work = set_host) -> None:
                _copy(before, kept)
                set_host()

            try:
                self._capture(kind, step, anew)
            finally:
                _copy(before, kept)

    def _capture(self, kind: Kind, step: TakeStep, anew: Work) -> None:
        if not self.capture or kind in self.replays:
            return
        try:
            for _ in range(WARM_UP):
                anew()
                step(kind)
            anew()
            self.replays[kind] = self.capture(lambda: step(kind))
        except UserError:
            raise
        except (RuntimeError, CannotCapture) as error:
            reason = _first(error)
            if out_of_memory(reason):
                raise reason from None
            self._give_up(reason)

    def _give_up(self, error: BaseException) -> None:
        """Run every step as it is from now on, and say so once a process and reason."""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        self.capture, self.replays = None, {}
        warn_once(f"steps run one kernel after the other, not captured: {reason}")

    def __call__(self, kind: Kind, step: TakeStep) -> None:
        """Take a step."""
        replay = self.replays.get(kind)
        replay() if replay else step(kind)


def _first(error: BaseException) -> BaseException:
    """Return what went wrong in a capture, whose end then fails too."""
    while error.__context__ is not None:
        error = error.__context__
    return error


@cache
def warn_once(text: str) -> None:
    """Warn, the first time in this process."""
    warnings.warn(text, stacklevel=3)


def _copy(values: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    for value, tensor in zip(values, into, strict=True):
        tensor.copy_(value)
