"""Keeps the keys of a cloud where they are: in the environment of the process that has them."""

from __future__ import annotations

KEPT = "RAY_"  # the prefix of settings, of which none is a secret


def keep_cloud_keys() -> None:
    """Keep Tune from forwarding variables to trials, the cloud's keys among them; Ray's settings may pass.

    Tune forwards some of the driver's variables in the runtime environment of its actors, which Ray writes
    to ``runtime_env_agent.log`` on every node and shows in its dashboard. Processes of a Ray that is embedded
    here inherit the variables all the same; nodes of a cluster need credentials of their own.
    """
    from ray.tune.execution import class_cache

    forwarded = class_cache.ENV_VARS_TO_PROPAGATE
    forwarded -= {name for name in forwarded if not name.startswith(KEPT)}
