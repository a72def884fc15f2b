"""Names actors and tasks after what they train: Ray's dashboard lists ``sam rho=0.1 seeds 0-3``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.trainable import wrap_function

from sweep.watch.tally import LocalCallback


def listed(trainable: Callable[..., None], sweep: str) -> type[Any]:
    """Return the class of a sweep's actors, listed by the sweep and the block that an actor trains first.

    Ray asks an actor for its name once, and an actor trains one block after the other; its tasks and its
    process go by the block that it trains now.

    Args:
        trainable: What Tune would make an actor's class of.
        sweep: The sweep's name.
    """

    class Actor(wrap_function(trainable)):  # type: ignore[misc]
        def __repr__(self) -> str:
            return f"flatleak {sweep}: first {self.trial_name}"

    Actor.__name__ = Actor.__qualname__ = f"flatleak {sweep}"
    return Actor


class Naming(LocalCallback):
    """Give every call of a trial's training the trial's name."""

    def on_trial_start(self, *_: Any, **event: Any) -> None:
        """Name the calls to come; Tune makes them on this very handle."""
        trial = event["trial"]
        actor = trial.temporary_state.ray_actor
        method = type(actor).__getattr__(actor, "train")  # not what an earlier trial left there
        actor.train = method.options(name=str(trial))
