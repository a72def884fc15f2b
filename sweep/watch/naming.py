"""Names tasks after what they train: Ray's dashboard lists ``sam rho=0.1 seeds 0-3`` instead of a method."""

from __future__ import annotations

from typing import Any

from sweep.watch.tally import LocalCallback


class Naming(LocalCallback):
    """Gives every call of a trial's training the trial's name.

    The actor goes by the sweep's name: it trains one block after the other, and Ray names actors once.
    """

    def on_trial_start(self, *_: Any, **event: Any) -> None:
        """Names the calls to come; Tune makes them on this very handle."""
        trial = event["trial"]
        actor = trial.temporary_state.ray_actor
        method = type(actor).__getattr__(actor, "train")  # not what an earlier trial left there
        actor.train = method.options(name=str(trial))
