"""A capture where no GPU is: operations are recorded, and replayed on the same tensors without the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class Recorder(TorchDispatchMode):
    """Notes every operation below autograd; refuses what a CUDA graph refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = func is torch.ops.aten._local_scalar_dense.default
        if read and args[0].dtype != torch.int64:  # but for the count of steps, which the host keeps
            raise RuntimeError("the host reads the device in a step")
        kwargs = kwargs or {}
        assert not any(isinstance(leaf, torch.Generator) for leaf in tree_leaves((args, kwargs)))
        # Aliases: a later operation may change a tensor's own shape in place.
        given_again = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs))
        out = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if torch.is_tensor(t)}
        fresh = [t.detach() for t in outputs if t.untyped_storage().data_ptr() not in given]
        self.operations.append((func, *given_again, fresh))
        return out

    def replay(self) -> None:
        """Does the operations again; what was new then is written to where it lay."""
        with torch.no_grad():
            for func, args, kwargs, fresh in self.operations:
                out = func(*args, **kwargs)
                if fresh:
                    found = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
                    for old, new in zip(fresh, found, strict=True):
                        old.copy_(new)


class RecordedCapture:
    """`trainables.engine.capture.Capture` for a CPU. Capturing changes nothing, as on a GPU."""

    def __init__(self, device: torch.device, kept: Callable[[], list[torch.Tensor]] | None = None) -> None:
        self.device, self.kept, self.captured = device, kept, 0

    @contextmanager
    def on_stream(self) -> Iterator[None]:
        yield

    beside = on_stream

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        recorder = Recorder()
        with recorder:
            work()
        self.captured += 1
        return recorder.replay
