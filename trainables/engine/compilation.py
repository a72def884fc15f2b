"""torch.compile for the forward and backward pass of training; nothing else of a step is worth compiling."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Literal, get_args

from trainables.errors import UserError
from trainables.registry import nearest

# torch's own names. reduce-overhead replays CUDA graphs, where nothing forbids it (on a CPU it is default);
# max-autotune also times kernels against one another.
Mode = Literal["default", "reduce-overhead", "max-autotune"]
MODES: tuple[Mode, ...] = get_args(Mode)
WITHOUT_GRAPHS = {"reduce-overhead": "default", "max-autotune": "max-autotune-no-cudagraphs"}
SHAPES = 64  # compiled versions a process keeps: stacks, batch sizes and models; torch stops at 8


def check_mode(mode: str | None) -> None:
    """Refuse a mode that torch does not have.

    Raises:
        UserError: ``mode`` is neither None, nor ``auto``, nor one of MODES.
    """
    if mode not in (None, "auto", *MODES):
        raise UserError(f"compile {mode!r} is not known; {nearest(str(mode), ('auto', *MODES))}")


def compiled(function: Callable[..., Any], mode: str, device: str = "cpu") -> Callable[..., Any]:
    """Compile the function, anew for every shape of its arguments: 5 to 30 s on a CPU.

    On a GPU the whole step is captured already, so that modes that capture graphs are taken without them.

    Raises (when called):
        UserError: it cannot be compiled here, for one because a C++ compiler is missing.
    """
    import torch
    from torch._dynamo.exc import TorchDynamoException  # takes a second, which most processes can save

    torch.compiler.config.recompile_limit = SHAPES
    run = torch.compile(
        function, mode=WITHOUT_GRAPHS.get(mode, mode) if device == "cuda" else mode, dynamic=False
    )

    @wraps(function)
    def call(*args: Any) -> Any:
        try:
            return run(*args)
        except TorchDynamoException as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(f"compile {mode!r}: torch cannot compile this model here: {reason}") from error

    return call


@cache
def compiler_fault(device: str) -> str | None:
    """Compile next to nothing; return in one line why that fails on a device, or None where it does not."""
    import torch

    try:
        torch.compile(lambda x: torch.sin(x) + 1)(torch.zeros(8, device=device))
    except Exception as error:  # whatever a compiler that is missing or broken raises
        return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return None
