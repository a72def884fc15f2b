"""Folders and archives of encoded images: every kind that Pillow reads, and what lies about in folders."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.datasets import ImageFolder

from trainables.data.dataset import Dataset, load_dataset
from trainables.errors import UserError

Make = Callable[[np.random.Generator, int], Image.Image]


def picture(rng: np.random.Generator, c: int, mode: str = "RGB") -> Image.Image:
    pixels = rng.integers(0, 128, (8, 8, 3)) + 100 * c
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def folder(root: Path, make: Make = picture, suffix: str = ".png", n: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for side in ("train", "test"):
        for c, label in enumerate("ab"):
            (root / side / label).mkdir(parents=True, exist_ok=True)
            for i in range(n):
                make(rng, c).save(root / side / label / f"{i}{suffix}")
    return root


def load(root: Path, **options: object) -> Dataset:
    return load_dataset({"name": "folder", "path": str(root), **options})


def archive(path: Path, images: list[Image.Image], kind: str = "PNG", **more: np.ndarray) -> dict[str, str]:
    """Twice the same images, encoded, as training and test examples of two classes."""
    files = []
    for image in images:
        out = io.BytesIO()
        image.save(out, kind)
        files.append(np.frombuffer(out.getvalue(), np.uint8))
    parts = {
        "bytes": np.concatenate(files),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": np.arange(len(files)) % 2,
    }
    np.savez(path, **{f"{s}_{k}": v for s in ("train", "test") for k, v in parts.items()}, **more)
    return {"name": "npz", "path": str(path)}


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".pgm", ".bmp", ".tiff", ".webp", ".gif", ".PNG"])
def test_folders_are_read_as_torchvision_reads_them(tmp_path: Path, suffix: str) -> None:
    mode = "L" if suffix == ".pgm" else "RGB"
    root = folder(tmp_path, lambda rng, c: picture(rng, c, mode), suffix)
    data = load(root)
    assert data.x_train.shape == data.x_test.shape == (12, 3, 8, 8)
    assert data.notes == ()
    if suffix == ".gif":  # which torchvision does not look for
        return
    expected = ImageFolder(str(root / "train"))
    np.testing.assert_array_equal(
        data.x_train, np.stack([np.moveaxis(np.asarray(x), 2, 0) for x, _ in expected])
    )
    assert data.y_train.tolist() == expected.targets
    assert list(data.class_names or ()) == expected.classes


def test_what_does_not_belong_in_a_folder_is_skipped_and_said(tmp_path: Path) -> None:
    root = folder(tmp_path)
    plain = load(root)
    for side in ("train", "test"):
        (root / side / ".ipynb_checkpoints").mkdir()
        (root / side / ".ipynb_checkpoints" / "0.png").write_bytes(b"no image")
        (root / side / ".DS_Store").write_bytes(b"\0" * 10)
    (root / "train" / "a" / "._0.png").write_bytes(b"\0" * 100)
    (root / "train" / "b" / "labels.txt").write_text("b")
    data = load(root)
    assert data.class_names == ("a", "b")
    np.testing.assert_array_equal(data.x_train, plain.x_train)
    (note,) = data.notes
    assert note == "4 files are hidden or of no image type and were skipped, such as train/.DS_Store"


def test_a_single_skipped_file_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "train" / "b" / "labels.txt").write_text("b")
    assert load(root).notes == ("1 file is hidden or of no image type and was skipped: train/b/labels.txt",)


def test_formats_mix_and_folders_nest(tmp_path: Path) -> None:
    root = folder(tmp_path)
    plain = load(root)
    for file in sorted((root / "train" / "a").glob("*.png"))[:3]:
        Image.open(file).save(file.with_suffix(".ppm"))
        file.unlink()
    (root / "train" / "b" / "more").mkdir()
    (root / "train" / "b" / "5.png").rename(root / "train" / "b" / "more" / "5.png")
    np.testing.assert_array_equal(load(root).x_train, plain.x_train)


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_class_without_images_is_refused_by_name(tmp_path: Path, side: str) -> None:
    root = folder(tmp_path)
    (root / "train" / "c").mkdir()
    if side == "test":
        picture(np.random.default_rng(0), 0).save(root / "train" / "c" / "0.png")
        (root / "test" / "c").mkdir()
    with pytest.raises(UserError, match=rf"class folder .*{side}/c holds no image"):
        load(root)


def deep(rng: np.random.Generator, c: int) -> Image.Image:
    return Image.fromarray((rng.integers(0, 30000, (8, 8)) + 30000 * c).astype(np.uint16))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_sixteen_bits_keep_their_grey_levels(tmp_path: Path, suffix: str) -> None:
    root = folder(tmp_path, deep, suffix)
    data = load(root)
    rng = np.random.default_rng(0)
    expected = np.stack([np.asarray(deep(rng, c)) for c in (0, 1) for _ in range(6)])
    for channel in range(3):
        np.testing.assert_array_equal(data.x_train[:, channel], np.rint(expected / 257))
    assert len(np.unique(data.x_train)) > 100
    assert data.notes == ("12 of 12 images hold 16 bits a pixel; scaled to 8",) * 2


def test_float_images_are_refused_by_name(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda rng, _: Image.fromarray(rng.random((8, 8)).astype(np.float32)), ".tiff")
    with pytest.raises(UserError, match=r"a/0\.tiff holds floating point pixels; expected 8 or 16 bits"):
        load(root)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_modes_are_converted_alike_in_folder_and_archive(tmp_path: Path, mode: str) -> None:
    kind, suffix = ("JPEG", ".jpg") if mode in ("CMYK", "YCbCr") else ("PNG", ".png")
    rng = np.random.default_rng(0)
    images = [picture(rng, c, mode) for c in (0, 1, 0, 1)]
    for side in ("train", "test"):
        for i, image in enumerate(images):
            place = tmp_path / "f" / side / "ab"[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / f"{i}{suffix}")
    read = load(tmp_path / "f")
    packed = load_dataset(archive(tmp_path / "a.npz", images, kind))
    grey = mode in ("L", "1", "LA")
    assert packed.x_train.shape == (4, 1 if grey else 3, 8, 8)
    coloured = np.broadcast_to(original(packed), (4, 3, 8, 8))
    np.testing.assert_array_equal(coloured[[0, 2, 1, 3]], original(read))


def original(data: Dataset) -> np.ndarray:
    """The grey levels of the training images."""
    return data.scale.original(data.x_train).round() if data.scale else data.x_train


@pytest.mark.parametrize("order", [("RGB", "L", "P", "RGBA"), ("L", "L", "RGB", "P"), ("LA", "1", "L", "L")])
def test_modes_mix_in_an_archive(tmp_path: Path, order: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    images = [picture(rng, i % 2, order[i % 4]) for i in range(12)]
    data = load_dataset(archive(tmp_path / "a.npz", images))
    colour = set(order) & {"RGB", "P", "RGBA"}
    expected = [np.asarray(image.convert("RGB" if colour else "L")).reshape(8, 8, -1) for image in images]
    np.testing.assert_array_equal(data.x_train, np.stack(expected).transpose(0, 3, 1, 2))


def test_grey_training_images_and_coloured_test_images_go_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = archive(tmp_path / "g.npz", [picture(rng, i % 2, "L") for i in range(4)])
    colour = archive(tmp_path / "c.npz", [picture(rng, i % 2) for i in range(4)])
    with np.load(grey["path"]) as one, np.load(colour["path"]) as other:
        mixed = {k: (one if k.startswith("train") else other)[k] for k in one.files}
    np.savez(tmp_path / "m.npz", **mixed)
    data = load_dataset({"name": "npz", "path": str(tmp_path / "m.npz")})
    assert data.x_train.shape == data.x_test.shape == (4, 3, 8, 8)
    np.testing.assert_array_equal(data.x_train[:, 0], data.x_train[:, 2])


def test_images_of_two_sizes_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [picture(rng, i % 2).resize((8, 9 if i == 2 else 8)) for i in range(4)]
    with pytest.raises(UserError, match="train image 2 is 9 x 8 pixels, train image 0 is 8 x 8; "):
        load_dataset(archive(tmp_path / "a.npz", images))


DAMAGE: dict[str, Callable[[bytearray], bytes]] = {
    "checksum": lambda b: bytes(b[:40] + b"\xff" * 20 + b[60:]),
    "half": lambda b: bytes(b[: len(b) // 2]),
    "empty": lambda _: b"",
    "text": lambda _: b"hello",
    "width": lambda b: bytes(b[:16] + b"\x7f\xff\xff\xff" + b[20:]),
    "mode": lambda b: bytes(b[:25] + b"\x09" + b[26:]),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".gif", ".webp", ".ppm"])
def test_a_damaged_image_is_one_line_with_its_path_or_is_still_read(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    root = folder(tmp_path, suffix=suffix, n=2)
    file = root / "train" / "a" / f"0{suffix}"
    file.write_bytes(DAMAGE[kind](bytearray(file.read_bytes())))
    said = refusal(root)
    if said is None:  # some formats have no checksum, and lose a few pixels at most
        assert suffix != ".png"
        assert kind not in ("empty", "text")
    else:
        assert str(file) in said
        assert "\n" not in said
        assert "0x" not in said


def refusal(root: Path) -> str | None:
    try:
        load(root)
    except UserError as error:
        return str(error)
    return None


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UserError, match=r"a/0\.png cannot be decoded: .*decompression bomb"):
        load(root)


def test_reading_says_how_far_it_is(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    load_dataset({"name": "folder", "path": str(folder(tmp_path))}, report=lambda *told: said.append(told))
    assert said == [("images", done, 12) for done in range(1, 13)] * 2
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
