"""A task: what all replicas of one call share, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from trainables.data.dataset import Dataset, load_dataset
from trainables.data.device_data import DeviceData
from trainables.data.subsets import Subsets
from trainables.engine.checks import check, definite
from trainables.engine.networks import Network, make_network
from trainables.engine.runtime import Runtime, find_device
from trainables.errors import UserError
from trainables.models import ModelSpec, complete_model, model_factory
from trainables.optimizers.privacy import Guarantee
from trainables.optimizers.schedule import batch_sizes, epochs_run
from trainables.recipe import Recipe
from trainables.records import Context
from trainables.seeding import torch_seed


@dataclass(frozen=True)
class Task:
    """Replicas to train.

    Args:
        recipe: What to vary.
        context: What else decides a replica, and addresses its record.
        dataset: What to train on, of the context's fingerprint.
        runtime: Where and how.
    """

    recipe: Recipe
    context: Context
    dataset: Dataset
    runtime: Runtime = field(default_factory=Runtime)

    @cached_property
    def device(self) -> torch.device:
        """The device that the replicas train on."""
        return find_device(self.runtime.device)

    @cached_property
    def data(self) -> DeviceData:
        """The data set on the device."""
        return DeviceData(self.dataset, self.device)

    @cached_property
    def network(self) -> Network:
        """The architecture; it holds no replica's weights, so all of them share it."""
        mode = None if self.runtime.compile == "auto" else self.runtime.compile
        return make_network(self.module(0), self.device, self.recipe.precision, mode)

    @property
    def size(self) -> int:
        """Examples that a replica sees in one epoch."""
        return self.context.subsets.size(len(self.dataset.y_train), len(self.dataset.canaries))

    @property
    def epochs(self) -> int:
        """Epochs until training ends, early stopping taken into account."""
        return epochs_run(self.recipe)

    @property
    def steps(self) -> int:
        """Steps of training one replica."""
        return len(batch_sizes(self.size, self.recipe.batch_size)) * self.epochs

    @property
    def definite(self) -> Recipe:
        """The recipe with its privacy noise worked out."""
        return self._definite[0]

    @property
    def guarantee(self) -> Guarantee:
        """The differential privacy that the noise guarantees."""
        return self._definite[1]

    @cached_property
    def _definite(self) -> tuple[Recipe, Guarantee]:
        return definite(self.recipe, self.size)

    def module(self, seed: int) -> nn.Module:
        """Return the freshly initialised network of one subset seed, on the CPU."""
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed every other device too, which takes longer than building an MLP.
            torch.default_generator.manual_seed(torch_seed(self.context.sweep_seed, seed, "init"))
            return self._factory(self.dataset.x_train.shape[1:], self.dataset.num_classes)

    @cached_property
    def _factory(self) -> Callable[[Sequence[int], int], nn.Module]:
        return model_factory(self.context.model)

    @cached_property
    def dropout(self) -> bool:
        """Whether the network draws random numbers of its own.

        Only a stack of one can seed those by replica.
        """
        module, blank = self.module(0).train(), torch.zeros(2, *self.dataset.x_train.shape[1:])
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            before = torch.get_rng_state()
            module(blank)
            return not torch.equal(before, torch.get_rng_state())


def make_task(
    recipe: Recipe,
    dataset: str | Mapping[str, Any] | Dataset,
    model: ModelSpec,
    subsets: Mapping[str, Any] | Subsets = Subsets(),  # noqa: B008, frozen
    runtime: Runtime = Runtime(),  # noqa: B008, frozen
    **context: Any,
) -> Task:
    """Load and check everything that training will need.

    Args:
        recipe: What to vary.
        dataset: A name, a mapping as in a spec, or a data set.
        model: A name, or a mapping with ``name`` and options.
        subsets: How a subset seed draws a replica's training examples.
        runtime: Where and how to train.
        context: What else a record's context may hold: ``sweep_seed``, ``queries`` and ``curvature``.

    Raises:
        UserError: There is no such device, or something does not go together (``check``).
    """
    find_device(runtime.device)
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    made = Context(
        dataset={"name": loaded.name, **loaded.options},
        fingerprint=loaded.fingerprint,
        model=complete_model(model),
        subsets=_subsets(subsets),
        **context,
    )
    check([recipe], loaded, model, made.subsets, made.queries)
    if made.curvature is not None and made.curvature < 1:
        raise UserError(
            f"curvature {made.curvature!r}: expected at least 1 direction, or None to leave it out"
        )
    return Task(recipe, made, loaded, runtime)


def _subsets(subsets: Mapping[str, Any] | Subsets) -> Subsets:
    try:
        return Subsets.model_validate(subsets)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["subsets", *map(str, first["loc"])])
        why = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {first['input']!r}: {why}") from error
