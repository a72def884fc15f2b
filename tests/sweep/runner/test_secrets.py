"""Tune forwards no key of a cloud."""

from __future__ import annotations

import pytest

from sweep.runner.secrets import keep_cloud_keys

KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}


def test_what_tune_forwards_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.tune import Trainable
    from ray.tune.execution import class_cache

    names = class_cache.ENV_VARS_TO_PROPAGATE | KEYS | {"SOME_CLOUD_TOKEN"}
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", names)
    for name in names:
        monkeypatch.setenv(name, "0")
    keep_cloud_keys()
    actor = class_cache._ActorClassCache().get(type("Actor", (Trainable,), {}))
    forwarded = set(actor._default_options["runtime_env"]["env_vars"])
    assert "RAY_CHDIR_TO_TRIAL_DIR" in forwarded
    assert not (KEYS | {"SOME_CLOUD_TOKEN"}) & forwarded
    assert [name for name in forwarded if "TOKEN" in name or "SECRET" in name] == []
