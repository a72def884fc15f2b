"""One scale whatever the coding: against scikit-learn's StandardScaler, and the same data in many codings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from trainables.data.dataset import Dataset, load_dataset
from trainables.data.device_data import DeviceData
from trainables.data.normalise import LIMIT, normalise

CODINGS = {
    "uint8": lambda x: x.astype(np.uint8),
    "int64": lambda x: x.astype(np.int64),
    "uint16 of 16 bits": lambda x: x.astype(np.uint16) * 257,
    "float16": lambda x: x.astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "float64 from 0 to 1": lambda x: x / 255.0,
    "float32 from -1 to 1": lambda x: (x / 127.5 - 1).astype(np.float32),
    "big-endian": lambda x: x.astype(">f8") * 1e6 + 1e9,
}
LABELS = {
    "from 0": lambda y: y,
    "from 1": lambda y: y + 1,
    "bytes": lambda y: y.astype(np.uint8),
    "far apart": lambda y: y * 10007 - 5,
    "texts": lambda y: np.array([f"class {c}" for c in y]),
    "bytes of text": lambda y: np.array([b"%d" % c for c in y]),
    "objects": lambda y: np.array([f"class {c}" for c in y], object),
}
LAYOUTS = {"channels_first": lambda x: x, "channels_last": lambda x: x.transpose(0, 2, 3, 1)}


def seen(data: Dataset, side: str = "train") -> np.ndarray:
    """What the networks are given."""
    return np.concatenate(
        [np.asarray(part) for part in DeviceData(data, torch.device("cpu")).chunks(side, 50)]
    )


def made(x: np.ndarray, y: np.ndarray, xt: np.ndarray, yt: np.ndarray, **options: Any) -> Dataset:
    """The data set that these arrays become when a factory of one's own returns them."""
    made.arrays = (x, y, xt, yt)
    return load_dataset({"name": f"{__name__}:arrays", **options})


def arrays() -> tuple[np.ndarray, ...]:
    return made.arrays


def test_tables_are_standardised_as_scikit_learn_does() -> None:
    x, y = load_wine(return_X_y=True)
    data = made(x[::2], y[::2], x[1::2], y[1::2])
    scaler = StandardScaler().fit(x[::2])
    np.testing.assert_allclose(data.x_train, scaler.transform(x[::2]), atol=1e-5)
    np.testing.assert_allclose(data.x_test, scaler.transform(x[1::2]), atol=1e-5)
    np.testing.assert_allclose(data.scale.original(data.x_test), x[1::2], rtol=1e-5, atol=1e-4)
    assert data.describe()["normalisation"] == "each feature standardised by the training rows"


def test_images_are_standardised_per_channel_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.normalise.ROWS", 7)
    x = np.random.default_rng(0).normal([[[[5]], [[-300]]]], [[[[0.1]], [[40]]]], (30, 2, 5, 4))
    found = normalise(x, x[:3])
    columns = x.transpose(0, 2, 3, 1).reshape(-1, 2)
    expected = StandardScaler().fit_transform(columns).reshape(30, 5, 4, 2).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found.train, expected, atol=1e-5)
    np.testing.assert_allclose(found.test, expected[:3], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_what_is_constant_in_training_stays_0(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (40, 3, 8, 8)).astype(dtype)
    x[:, 1], x[:, 2] = 0, 37
    test = x.copy()
    test[0, 1, 0, 0] = test[1, 2, 3, 3] = 200
    found = normalise(x, test)
    assert (found.train[:, 1:] == 0).all()
    assert (found.test[:, 1:] == 0).all()
    assert abs(found.train[:, 0].std() - 1) < 1e-5
    assert found.notes == ("constant in training, so 0 in every example: channel 1, channel 2",)


def test_rounding_alone_is_no_variation() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    x[:, 1] = 0.1 + 0.2 + np.where(np.arange(50) % 2, 0, 5e-17)
    assert (normalise(x, x).train[:, 1] == 0).all()


def test_a_feature_that_hardly_varies_does_not_blow_up() -> None:
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(2000, 3)), rng.normal(size=(100, 3))
    x[:, 1] = np.where(np.arange(2000) == 7, 1, 0)
    test[:, 1] = [0] * 98 + [50, -50]
    found = normalise(x, test, names=["age", "rare", "height"])
    assert abs(found.test[:, 1]).max() == LIMIT
    assert abs(found.train[7, 1]) == LIMIT
    assert found.notes == ("values more than 20 standard deviations out are clipped there: rare (3)",)
    pixels = np.zeros((40, 2, 8, 8), np.uint8)
    pixels[:, 0] = rng.integers(0, 255, (40, 8, 8))
    pixels[3, 1, 2, 2] = 1
    far = pixels.copy()
    far[0, 1, 0, 0] = 255
    assert abs(normalise(pixels, far).test).max() == LIMIT


def test_features_of_very_different_scale_come_out_alike() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4)) * [1e-9, 1, 1e9, 1e30] + [0, 1e3, -1e10, 0]
    found = normalise(x, x)
    np.testing.assert_allclose(found.train.std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(found.train.mean(axis=0), 0, atol=1e-4)
    assert found.notes == ()


def test_bits_and_what_the_user_says_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (30, 5))
    for dtype in (bool, np.uint8, np.int64, np.float64):
        found = normalise(bits.astype(dtype), bits.astype(dtype))
        np.testing.assert_array_equal(found.train, bits.astype(np.float32))
        assert found.how == "none: the data are 0 and 1"
    assert abs(normalise(bits, bits, "standard").train.std(axis=0) - 1).max() < 1e-5
    pixels = rng.integers(0, 256, (9, 1, 3, 3)).astype(np.uint8)
    found = normalise(pixels, pixels, "none")
    np.testing.assert_array_equal(found.train, pixels.astype(np.float32))
    assert found.how == "none"


def test_only_the_numeric_features_of_a_mixed_table_are_scaled() -> None:
    x = np.random.default_rng(0).integers(0, 2, (30, 3)).astype(float)
    x[:, 0] *= 1000
    found = normalise(x, x, numeric=np.array([True, False, False]))
    np.testing.assert_array_equal(found.train[:, 1:], x[:, 1:])
    assert abs(found.train[:, 0].std() - 1) < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(CODINGS)),
    st.sampled_from(list(LABELS)),
    st.sampled_from(list(LAYOUTS)),
    st.integers(0, 3),
    st.sampled_from([1, 3]),
)
def test_the_same_images_in_any_coding_are_the_same_to_a_network(
    coding: str, labels: str, layout: str, seed: int, channels: int
) -> None:
    rng = np.random.default_rng(seed)
    x, xt = (
        rng.integers(0, 256, (n, channels, 6, 5)) // [[[[1]], [[2]], [[3]]][:channels]] for n in (40, 15)
    )
    y, yt = np.arange(40) % 4, np.arange(15) % 4
    plain = made(x.astype(np.uint8), y, xt.astype(np.uint8), yt)
    code, label, place = CODINGS[coding], LABELS[labels], LAYOUTS[layout]
    data = made(place(code(x)), label(y), place(code(xt)), label(yt))
    atol = 2e-2 if coding == "float16" else 1e-4
    np.testing.assert_allclose(seen(data), seen(plain), atol=atol)
    np.testing.assert_allclose(seen(data, "test"), seen(plain, "test"), atol=atol)
    np.testing.assert_array_equal(data.y_train, y)
    np.testing.assert_array_equal(data.y_test, yt)
    assert data.num_classes == 4


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.permutations(range(30)), st.integers(0, 9))
def test_units_and_order_of_a_table_do_not_matter(
    factor: float, offset: float, order: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 6)), np.arange(40) % 3
    index = [*order, *range(30, 40)]
    plain = made(x[:30], y[:30], x[30:], y[30:])
    moved = x[index] * factor + offset * factor
    data = made(moved[:30], y[index[:30]], moved[30:], y[30:])
    np.testing.assert_allclose(data.x_train, plain.x_train[order], atol=1e-4)
    np.testing.assert_allclose(data.x_test, plain.x_test, atol=1e-4)
    np.testing.assert_array_equal(data.y_train, plain.y_train[order])


def test_the_same_audit_from_bytes_integers_and_floats() -> None:
    """The first case of the reports: an MLP on grey levels of four types."""
    from trainables import Recipe, train_replicas

    digits = load_digits()
    pixels, labels = np.round(digits.images * 15.9), digits.target
    accuracy, margins = [], []
    for dtype in (np.uint8, np.int64, np.uint16, np.float32):
        data = made(pixels[:300].astype(dtype), labels[:300], pixels[300:500].astype(dtype), labels[300:500])
        record = train_replicas(Recipe(epochs=10), data, {"name": "mlp", "hidden": [32]}, range(2))
        accuracy.append(record.test_accuracy.mean())
        margins.append(record.train.margin)
    assert min(accuracy) > 0.7
    for other in margins[1:]:
        np.testing.assert_allclose(other, margins[0], atol=1e-2)


PUBLISHED = [
    ("digits", "3760a17170b9521a"),
    ({"name": "digits", "train_size": 300, "test_size": 200}, "2b3c572578a79512"),
    ({"name": "npz", "path": "location30.npz"}, "3e3b9f17aa737b11"),
    ({"name": "npz", "path": "fashion8k_28.npz", "train_size": 2000, "test_size": 2000}, "22d84035ce995c85"),
    ({"name": "npz", "path": "mnist.npz", "train_size": 1000}, "6fc100946801e5c2"),
    (
        {"name": "npz", "path": "cifar10_jpeg90.npz", "train_size": 2000, "test_size": 1000},
        "a747d2b988a956e1",
    ),
]


@pytest.mark.parametrize(("spec", "fingerprint"), PUBLISHED, ids=[f for _, f in PUBLISHED])
def test_the_shipped_studies_train_on_what_their_records_say(
    spec: Any, fingerprint: str, request: pytest.FixtureRequest
) -> None:
    """Another fingerprint would be another address: published figures would be trained anew."""
    if isinstance(spec, dict) and "path" in spec:
        spec = {**spec, "path": str(request.getfixturevalue("shared_data") / spec["path"])}
    assert load_dataset(spec).fingerprint == fingerprint


def test_bytes_are_standardised_bit_for_bit_as_ever() -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 4)).astype(np.uint8)
    y = np.arange(40) % 4
    data = made(x, y, x[:8], y[:8])
    assert data.x_train.dtype == np.uint8
    counts = np.stack([np.bincount(x[:, c].ravel(), minlength=256) for c in range(3)])
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ np.arange(256.0)
    deviation = np.sqrt(share @ np.arange(256.0) ** 2 - mean**2)
    offset, factor = (v.astype(np.float32).reshape(-1, 1, 1) for v in (mean, 1 / deviation))
    np.testing.assert_array_equal(seen(data), (x.astype(np.float32) - offset) * factor)
