"""The figures of a running sweep: for Prometheus through Ray's own metrics, and for ``flatleak status``.

Ray's agent on the driver's node exports them as ``ray_flatleak_...``. Labels are the sweep and the recipe,
never the trial, so their number does not grow with the replicas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.util.metrics import Gauge

from sweep.runner.plan import Inventory
from sweep.watch.events import Events
from sweep.watch.tally import LocalCallback, Tally, block_of
from trainables.labels import labels
from trainables.recipe import Recipe

PUBLISH_EVERY = 2.0  # seconds

BY_RECIPE = {
    "done": ("flatleak_replicas_done", "Replicas with a record."),
    "running": ("flatleak_replicas_running", "Replicas in training now."),
    "failed": ("flatleak_replicas_failed", "Replicas given up in this run."),
    "missing": ("flatleak_replicas_missing", "Replicas still to train."),
    "test_accuracy": ("flatleak_test_accuracy", "Mean test accuracy of the latest block, a fraction."),
    "loss": ("flatleak_training_loss", "Mean training loss that was reported last."),
}
BY_SWEEP = {
    "rate": ("flatleak_replicas_per_second", "Replicas trained a second since this run began."),
    "per_hour": ("flatleak_replicas_per_hour", "Replicas trained an hour in the last minutes."),
    "gpu_seconds": ("flatleak_gpu_seconds", "Seconds that trials held GPUs in this run, by their shares."),
    "nodes_left_out": ("flatleak_nodes_left_out", "Nodes that lack something; flatleak status says what."),
    "time_left": ("flatleak_time_left_seconds", "Seconds to the end at the speed so far."),
}
BY_REASON = {
    "retries": (
        "flatleak_retries",
        "Attempts at blocks that failed in this run, with another to follow.",
    ),
    "failures": ("flatleak_failures", "Blocks given up in this run."),
}


class Figures(LocalCallback):
    """Follows Tune's events and publishes what they add up to, at most every ``PUBLISH_EVERY`` seconds.

    Args:
        sweep: the sweep's name.
        recipes: by recipe_id.
        stock: what there was before this run.
        tally: what has happened to each block.
        events: what was used, and what went wrong.
        publish: gets every new set of figures, e.g. the lease's.
    """

    def __init__(
        self,
        sweep: str,
        recipes: Mapping[str, Recipe],
        stock: Inventory,
        tally: Tally,
        events: Events,
        publish: Callable[[dict[str, Any]], None],
    ) -> None:
        self._sweep, self._tally, self._events, self._publish = sweep, tally, events, publish
        self._labels = dict(zip(recipes, labels(r.knobs for r in recipes.values()), strict=True))
        self._present = dict(zip(stock.recipe_ids, stock.done.sum(axis=1).tolist(), strict=True))
        self._seeds = len(stock.seeds)
        self._running: set[int] = set()
        self._latest: dict[str, dict[str, float]] = {recipe_id: {} for recipe_id in recipes}
        self._last = 0.0
        self._by_recipe = {
            key: Gauge(*about, tag_keys=("sweep", "recipe")) for key, about in BY_RECIPE.items()
        }
        self._by_reason = {
            key: Gauge(*about, tag_keys=("sweep", "reason")) for key, about in BY_REASON.items()
        }
        self._by_sweep = {key: Gauge(*about, tag_keys=("sweep",)) for key, about in BY_SWEEP.items()}

    def on_trial_start(self, *_: Any, **event: Any) -> None:
        """Count the block as running."""
        self._running.add(block_of(event))

    def on_trial_recover(self, *_: Any, **event: Any) -> None:
        """Count the block as no longer running, until it starts again."""
        self._running.discard(block_of(event))

    on_trial_complete = on_trial_error = on_trial_recover

    def on_trial_result(self, *_: Any, **event: Any) -> None:
        """Keep the recipe's latest test accuracy and loss."""
        recipe_id = self._tally.blocks[block_of(event)].address.recipe_id
        result = event["result"]
        self._latest[recipe_id] |= {key: result[key] for key in ("test_accuracy", "loss") if key in result}

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Publish now and then."""
        if time.monotonic() - self._last > PUBLISH_EVERY:
            self.publish()

    def on_experiment_end(self, *_: Any, **__: Any) -> None:
        """Publish the last figures."""
        self.publish()

    def publish(self) -> None:
        """Set the gauges of every recipe and of the sweep."""
        self._last = time.monotonic()
        figures = self.figures()
        for recipe_id, values in figures["recipes"].items():
            for key, value in values.items():
                tags = {"sweep": self._sweep, "recipe": self._labels[recipe_id]}
                self._by_recipe[key].set(value, tags=tags)
        for key, gauge in self._by_sweep.items():
            if figures[key] is not None:
                gauge.set(figures[key], tags={"sweep": self._sweep})
        for key, by_reason in self._by_reason.items():
            for reason, number in figures[key].items():
                by_reason.set(number, tags={"sweep": self._sweep, "reason": reason})
        self._publish(figures)

    def figures(self) -> dict[str, Any]:
        """Count replicas in whole blocks, by recipe; tell speed and time left of the sweep."""
        tally = self._tally
        succeeded = self._count(tally.finished - tally.failed)
        running = self._count(self._running - tally.finished)
        failed = self._count(tally.failed)
        recipes: dict[str, dict[str, float]] = {}
        for recipe_id in self._labels:
            done = self._present[recipe_id] + succeeded.get(recipe_id, 0)
            states = {
                "done": done,
                "running": running.get(recipe_id, 0),
                "failed": failed.get(recipe_id, 0),
            }
            missing = self._seeds - sum(states.values())
            recipes[recipe_id] = {**states, "missing": missing, **self._latest[recipe_id]}
        now = tally.rate_now
        return {
            "recipes": recipes,
            "rate": tally.rate,
            "rate_now": now,
            "per_hour": 3600 * now,
            "time_left": tally.time_left,
            **self._events.figures(),
        }

    def _count(self, blocks: set[int]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for block in (self._tally.blocks[i] for i in blocks):
            recipe_id = block.address.recipe_id
            counts[recipe_id] = counts.get(recipe_id, 0) + len(block)
        return counts
