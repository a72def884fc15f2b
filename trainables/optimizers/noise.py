"""Random tensors like the parameters, from each replica's own seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Params = dict[str, Tensor]

DRAWS = 8  # of a step, at most
CHUNK_BYTES = 2**22  # of one replica's random tensors that are drawn ahead, about


def fill(out: Params, seeds: Sequence[int], draw: int, law: str, *parameters: float) -> None:
    """Fill ``out`` with random numbers.

    Args:
        out: ``{name: tensor[K, ...]}``.
        seeds: One a replica; its numbers depend on this seed and ``draw`` alone.
        draw: The number of the draw among all of a replica's.
        law: ``normal_`` or ``bernoulli_``, a method of tensors.
        parameters: Those of the law.
    """
    generator = torch.Generator(next(iter(out.values())).device)
    for k, seed in enumerate(seeds):
        # CPU generators read the low 32 bits only: an odd factor keeps the draws of a replica distinct there.
        generator.manual_seed((seed + draw * 0x9E3779B1) % 2**63)
        for tensor in out.values():
            getattr(tensor[k], law)(*parameters, generator=generator)


class DrawnAhead:
    """The random tensors of the next steps, in buffers that stay where they are.

    A captured step cannot seed a generator, so the host draws for some steps at once, always from the same
    step of an epoch on, and a counter on the device says which slot a step reads. Buffers appear when a step
    first asks for them; before the first ``refill`` they hold zeros.

    Args:
        params: What the tensors are to be like.
        step: The device's counter of this epoch's steps ``[1]``.
        most: Steps of an epoch.
    """

    def __init__(self, params: Params, step: Tensor, most: int) -> None:
        self.params, self.step = params, step
        one = 4 * sum(p[0].numel() for p in params.values())
        self.ahead = max(1, min(most, CHUNK_BYTES // one))
        self.last: tuple[Sequence[int], int] | None = None
        self.buffers: dict[int, tuple[Params, str, tuple[float, ...]]] = {}

    def __call__(self, draw: int, law: str, *parameters: float) -> Params:
        """Return the ``draw``-th random tensors of a step: tensors of their own, free to be written to."""
        if draw not in self.buffers:
            blank = {n: p.new_zeros(len(p), self.ahead, *p.shape[1:]) for n, p in self.params.items()}
            self.buffers[draw] = blank, law, parameters
            if self.last:
                self._fill(draw, *self.last)
        slot = self.step % self.ahead
        return {name: t.index_select(1, slot)[:, 0] for name, t in self.buffers[draw][0].items()}

    def refill(self, seeds: Sequence[int], number: int, step: int) -> None:
        """Draw what the coming steps need, where ``step`` of this epoch, ``number`` of all, needs it."""
        if step % self.ahead == 0:
            self.last = seeds, number
            for draw in self.buffers:
                self._fill(draw, seeds, number)

    def _fill(self, draw: int, seeds: Sequence[int], number: int) -> None:
        buffers, law, parameters = self.buffers[draw]
        fill(buffers, seeds, number * DRAWS + draw, law, *parameters)
