"""Tune's own loggers by name, for those who have tools that read them. All are off by default."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from trainables.errors import UserError

LOGGERS = {  # name -> module, class, what it needs besides Ray
    "csv": ("ray.tune.logger", "CSVLoggerCallback", None),
    "json": ("ray.tune.logger", "JsonLoggerCallback", None),
    "mlflow": ("ray.air.integrations.mlflow", "MLflowLoggerCallback", "mlflow"),
    "tensorboard": ("ray.tune.logger", "TBXLoggerCallback", "tensorboardX"),
    "wandb": ("sweep.watch.wandb_logger", "Wandb", "wandb"),
}


def make_loggers(names: Iterable[str], sweep: str) -> list[Any]:
    """Tune callbacks for these names. MLflow and Weights & Biases find servers and keys in their environment.

    Raises:
        UserError: the package that one needs is not installed; says what to install.
    """
    callbacks = []
    for name in names:
        module, attribute, package = LOGGERS[name]
        _require(name, package)
        options = {"mlflow": {"experiment_name": sweep}, "wandb": {"project": sweep}}.get(name, {})
        callbacks.append(getattr(import_module(module), attribute)(**options))
    return callbacks


def _require(name: str, package: str | None) -> None:
    if package is None:
        return
    try:
        import_module(package)
    except ImportError as error:
        raise UserError(
            f"loggers: {name!r} needs {package}; install it with pip install 'flatleak[{name}]'"
        ) from error
