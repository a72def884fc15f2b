"""Ray's logger for Weights & Biases, without the key in Ray's own logs and dashboard."""

from __future__ import annotations

import os
from typing import Any

from ray.air.integrations.wandb import WandbLoggerCallback

KEY = "WANDB_API_KEY"


class Wandb(WandbLoggerCallback):
    """Tune's logger for Weights & Biases, which hands the key to the processes that log as a value.

    As part of their runtime environment, which is how Ray does it, the key would be written to
    ``runtime_env_agent.log`` and shown by the dashboard. Runs are kept below ``WANDB_DIR``, else here: from a
    trial's own folder Tune copies them unfinished.
    """

    def _start_logging_actor(self, trial: Any, exclude_results: list[str], **options: Any) -> None:
        options["dir"] = os.environ.get("WANDB_DIR") or os.getcwd()
        if not self._remote_logger_class:
            self._remote_logger_class = self._keyed(os.environ.get(KEY))
        super()._start_logging_actor(trial, exclude_results, **options)

    def _keyed(self, key: str | None) -> Any:
        import ray
        from ray.air.util.node import _force_on_current_node

        class WandbLogger(self._logger_actor_cls):  # type: ignore[name-defined,misc]
            def run(self) -> None:
                if key:
                    os.environ[KEY] = key
                super().run()

        here: Any = _force_on_current_node()
        return ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, **here)(WandbLogger)
