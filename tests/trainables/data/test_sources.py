"""Where data comes from: what each kind of source gives, and which files are refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.helpers.archives import dense, png, rows, saved
from trainables.data.dataset import load_dataset
from trainables.errors import UserError


def test_digits_are_scikit_learns_in_one_fixed_split() -> None:
    data, source = load_dataset("digits"), load_digits()
    assert data.x_train.shape == (1200, 1, 8, 8)
    assert data.x_test.shape == (597, 1, 8, 8)
    everything = np.concatenate([data.x_train, data.x_test])[:, 0]
    assert rows(everything) == rows((source.images / 16).astype(np.float32))
    image = {
        row.tobytes(): label
        for row, label in zip((source.images / 16).astype(np.float32), source.target, strict=True)
    }
    assert [image[row.tobytes()] for row in data.x_test[:, 0]] == data.y_test.tolist()
    assert data.num_classes == 10


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 5), (1, 5, 5)), ((6, 5, 3), (3, 6, 5)), ((3, 6, 5), (3, 6, 5)), ((7,), (7,))],
)
def test_dense_archives_come_out_channels_first(tmp_path, shape, expected) -> None:
    arrays = dense(shape=shape)
    data = load_dataset(saved(tmp_path / "d.npz", **arrays, class_names=np.array([b"a", b"b", b"c", b"d"])))
    assert data.x_train.shape == (40, *expected)
    assert data.x_train.dtype == (np.float32 if len(shape) == 1 else np.uint8)
    assert data.x_train.flags.c_contiguous
    image = arrays["x_train"][3]
    found = data.scale.original(data.x_train)[3] if data.scale else data.x_train[3]
    expected = (image.transpose(2, 0, 1) if shape == (6, 5, 3) else image).ravel()
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-4)
    np.testing.assert_array_equal(data.y_train, arrays["y_train"])
    assert data.class_names == ("a", "b", "c", "d")
    assert len(data.canaries) == 0


def test_encoded_archives_decode_the_chosen_images(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), np.uint8)
    parts = {}
    for split, chunk in (("train", images[:8]), ("test", images[8:])):
        files = [png(image) for image in chunk]
        parts[f"{split}_bytes"] = np.frombuffer(b"".join(files), np.uint8)
        parts[f"{split}_offsets"] = np.cumsum([0, *map(len, files)]).astype(np.uint32)
        parts[f"{split}_labels"] = np.arange(len(files), dtype=np.uint8) % 2
    spec = saved(tmp_path / "e.npz", **parts)
    np.testing.assert_array_equal(load_dataset(spec).x_train, images[:8].transpose(0, 3, 1, 2))
    fewer = load_dataset(spec | {"train_size": 3})
    assert rows(fewer.x_train) <= rows(images[:8].transpose(0, 3, 1, 2).copy())
    assert len(fewer.x_train) == 3
    broken = saved(tmp_path / "b.npz", **parts | {"train_bytes": parts["train_bytes"][:-5]})
    with pytest.raises(UserError, match="offsets do not rise"):
        load_dataset(broken)
    garbage = saved(tmp_path / "g.npz", **parts | {"train_bytes": np.zeros_like(parts["train_bytes"])})
    with pytest.raises(UserError, match=r"dataset.path: train image \d cannot be decoded"):
        load_dataset(garbage)


def test_binary_tables_are_unpacked_and_split_for_good(tmp_path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (50, 21), np.uint8)
    spec = saved(
        tmp_path / "t.npz", features_packed=np.packbits(bits, axis=1), n_features=21, labels=np.arange(50) % 3
    )
    data, again = load_dataset(spec), load_dataset(spec)
    assert (data.x_train.shape, data.x_test.shape) == ((40, 21), (10, 21))
    assert data.x_train.dtype == np.float32
    assert rows(np.concatenate([data.x_train, data.x_test])) == rows(bits.astype(np.float32))
    assert data.fingerprint == again.fingerprint
    assert load_dataset(spec | {"test_share": 0.5}).x_test.shape == (25, 21)


def test_folders_of_images_with_and_without_a_split(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for where in ("split/train", "split/test", "whole"):
        for name in ("cat", "dog"):
            (tmp_path / where / name).mkdir(parents=True)
            for i in range(5):
                pixels = rng.integers(0, 256, (6, 7, 3), np.uint8)
                (tmp_path / where / name / f"{i}.png").write_bytes(png(pixels))
    split = load_dataset({"name": "folder", "path": str(tmp_path / "split")})
    assert split.x_train.shape == split.x_test.shape == (10, 3, 6, 7)
    assert split.y_train.tolist() == [0] * 5 + [1] * 5
    assert split.class_names == ("cat", "dog")
    whole = load_dataset({"name": "folder", "path": str(tmp_path / "whole"), "test_share": 0.3, "size": 4})
    assert (whole.x_train.shape, whole.x_test.shape) == ((7, 3, 4, 4), (3, 3, 4, 4))
    (tmp_path / "whole/cat/9.png").write_bytes(png(np.zeros((3, 3, 3), np.uint8)))
    with pytest.raises(UserError, match=r"9\.png is 3 x 3 pixels.*give 'size'"):
        load_dataset({"name": "folder", "path": str(tmp_path / "whole")})
    (tmp_path / "split/test/bird").mkdir()
    with pytest.raises(UserError, match="bird is no class of the training images"):
        load_dataset({"name": "folder", "path": str(tmp_path / "split")})


def test_paths_are_relative_to_the_working_directory_or_home(tmp_path, monkeypatch) -> None:
    saved(tmp_path / "d.npz", **dense())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here, home = (load_dataset({"name": "npz", "path": path}) for path in ("d.npz", "~/d.npz"))
    assert here.fingerprint == home.fingerprint


def test_torchvision_data_are_read_as_they_lie(tmp_path, monkeypatch) -> None:
    """CIFAR-10 as torchvision unpacks it, with its integrity check answered yes."""
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        entry = {"data": rng.integers(0, 256, (4, 3072), np.uint8), "labels": [0, 1, 2, 9]}
        (folder / name).write_bytes(pickle.dumps(entry))
    names = [f"c{i}" for i in range(10)]
    (folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = load_dataset({"name": "cifar10", "root": str(tmp_path)})
    assert (data.x_train.shape, data.x_test.shape) == ((20, 3, 32, 32), (4, 3, 32, 32))
    assert data.x_train.dtype == np.uint8
    assert data.class_names == tuple(names)
    assert data.y_test.tolist() == [0, 1, 2, 9]


def test_a_download_that_fails_says_where_and_what_else(tmp_path, monkeypatch) -> None:
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refuse)
    with pytest.raises(
        UserError, match=r"CIFAR10 is not in .* cannot be downloaded there \(no network\); give 'root'"
    ):
        load_dataset({"name": "cifar10", "root": str(tmp_path)})


def test_other_files_are_no_archive(tmp_path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match=r"text\.npz is not a \.npz archive"):
        load_dataset({"name": "npz", "path": str(tmp_path / "text.npz")})


def test_the_shared_archives_load(shared_data) -> None:
    location = load_dataset({"name": "npz", "path": str(shared_data / "location30.npz")})
    assert (location.x_train.shape, location.num_classes) == ((4008, 446), 30)
    cifar = load_dataset(
        {"name": "npz", "path": str(shared_data / "cifar100_jpeg90.npz"), "train_size": 50, "test_size": 20}
    )
    assert (cifar.x_train.shape, cifar.num_classes) == ((50, 3, 32, 32), 100)
    fashion = load_dataset({"name": "npz", "path": str(shared_data / "fashion8k_28.npz")})
    assert (fashion.x_train.shape, fashion.x_train.dtype) == ((6000, 1, 28, 28), np.uint8)
