"""How replicas are trained: what may change from run to run without changing what a record means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.engine.compilation import check_mode
from trainables.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Runtime:
    """Where and how replicas train. Needs no torch until a device is asked for.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:<number>``.
        stack: Replicas that train at once, or ``auto``: as many as are fastest.
        compile: A mode of torch.compile for the passes of training, ``auto`` (on a GPU, where it
            wins back its own time) or None.
        threads: Threads of a process that trains; None leaves torch's own number.

    Raises:
        UserError: ``stack`` is no number of replicas, or torch has no such mode.
    """

    device: str = "cpu"
    stack: int | str = "auto"
    compile: str | None = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        whole = isinstance(self.stack, int) and not isinstance(self.stack, bool) and self.stack >= 1
        if not whole and self.stack != "auto":
            raise UserError(f"stack {self.stack!r}: expected 'auto' or a whole number of replicas, 1 or more")
        check_mode(self.compile)

    def use_threads(self) -> None:
        """Set the threads of this process."""
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)


def find_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        UserError: torch knows no such device, or finds none here.
    """
    import torch

    try:
        place = torch.device(name)
    except RuntimeError:
        place = torch.device("meta")
    if place.type not in ("cpu", "cuda"):
        raise UserError(f"device {name!r} is not known; expected 'cpu', 'cuda' or 'cuda:<number>'") from None
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UserError(
            f"device {name!r}: torch finds {f'{found} CUDA devices' if found else 'no CUDA device'} "
            "here; use 'cpu'"
        )
    return place
