"""What a device is, for the manifest of a sweep."""

from __future__ import annotations

import subprocess
from typing import Any

import torch


def device_hardware(device: torch.device) -> dict[str, Any]:
    """Return the GPU's name, number and memory, its driver and torch's CUDA version; empty for a CPU."""
    if device.type != "cuda":
        return {}
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "gpus_seen": torch.cuda.device_count(),
        "gpu_gib": round(properties.total_memory / 2**30, 1),
        "driver": _driver(),
        "cuda": torch.version.cuda,
    }


def _driver() -> str | None:
    """Return the version of NVIDIA's driver, or None where its tool is not there to ask."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.split("\n")[0].strip() or None
