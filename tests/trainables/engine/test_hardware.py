"""What the manifest says of a device, with a GPU that is made up."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
import torch

from trainables.engine.hardware import device_hardware


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    properties = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30 + 2**28)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return torch.device("cuda")


@pytest.mark.parametrize(("told", "driver"), [("550.54.15\n550.54.15\n", "550.54.15"), ("\n", None)])
def test_a_gpu_has_a_name_memory_and_a_driver(
    gpu: torch.device, told: str, driver: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=told))
    assert device_hardware(gpu) == {
        "gpu": "NVIDIA H100",
        "gpus_seen": 2,
        "gpu_gib": 80.2,
        "driver": driver,
        "cuda": torch.version.cuda,
    }


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(), subprocess.TimeoutExpired("nvidia-smi", 10), subprocess.CalledProcessError(9, "")],
)
def test_a_driver_that_cannot_be_asked_is_none(
    gpu: torch.device, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    assert device_hardware(gpu)["driver"] is None


def test_a_cpu_needs_no_words() -> None:
    assert device_hardware(torch.device("cpu")) == {}
