"""A data set on the device, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.data.dataset import Dataset, load_dataset
from trainables.data.device_data import DeviceData


@pytest.mark.parametrize("at_once", [True, False])
def test_bytes_are_normalised_by_the_training_set_and_floats_left_alone(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr("trainables.data.device_data.NORMALISE_BYTES", 0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 3, 4, 4)).astype(np.uint8)
    x[:, 1] //= 3
    y = np.arange(40) % 4
    data = load_dataset({"name": "digits"})
    images = Dataset(**{**vars(data), "x_train": x, "x_test": x[:5], "y_train": y, "y_test": y[:5]})
    device = DeviceData(images, torch.device("cpu"))
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    index = torch.tensor([[3, 1], [0, 39]])
    np.testing.assert_allclose(device.rows(index), expected[index.numpy()], atol=1e-5)
    np.testing.assert_allclose(torch.cat(list(device.chunks("test", 2))), expected[:5], atol=1e-5)
    floats = DeviceData(data, torch.device("cpu"))
    np.testing.assert_array_equal(floats.rows(index), data.x_train[index.numpy()])
