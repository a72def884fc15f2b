"""Encoded images -> arrays: one decoder for folders and archives."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from trainables.data.loading import watched
from trainables.errors import UserError, first_line

Array = NDArray[Any]
SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
}  # fmt: skip
GREY = ("1", "L")


class Encoded(NamedTuple):
    """An image file: what errors call it, and where it lies or its bytes."""

    name: str
    source: Path | memoryview


@dataclass(frozen=True)
class Images:
    """Encoded images; indexing decodes those that are asked for, on all cores, to uint8 ``[k, C, H, W]``.

    C is 3, or 1 where all of them are grey and ``rgb`` is not set. ``size``: each is scaled to that many
    pixels square; without it all must have one size. ``notes`` gathers what was done to them.
    """

    items: Sequence[Encoded]
    rgb: bool = False
    size: int | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: Array) -> Images:
        """Return these images alone, still encoded."""
        return Images([self.items[i] for i in index.tolist()], self.rgb, self.size, self.notes)

    def __getitem__(self, index: Array, /) -> NDArray[np.uint8]:
        chosen = [self.items[i] for i in np.asarray(index).tolist()]
        deep = 0
        with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
            warnings.simplefilter("ignore")  # Pillow's, of odd tags in files that it reads all the same
            decoded = watched(pool.map(self._decode, chosen), "images", len(chosen))
            for k, (item, (image, sixteen)) in enumerate(zip(chosen, decoded, strict=True)):
                deep += sixteen
                if k == 0:
                    out = np.empty((len(chosen), *image.shape), np.uint8)
                if image.shape[1:] != out.shape[2:]:
                    sizes = [" x ".join(map(str, pixels)) for pixels in (image.shape[1:], out.shape[2:])]
                    raise UserError(
                        f"dataset.path: {item.name} is {sizes[0]} pixels, {chosen[0].name} is {sizes[1]}; "
                        "expected one size" + ("; give 'size' to scale them" if self.rgb else "")
                    )
                if len(image) > out.shape[1]:  # the first one in colour after grey ones
                    out = np.repeat(out, len(image), axis=1)
                out[k] = image
        if deep:
            self.notes.append(f"{deep:,} of {len(chosen):,} images hold 16 bits a pixel; scaled to 8")
        return out

    def _decode(self, item: Encoded) -> tuple[NDArray[np.uint8], bool]:
        """Return the image ``[C, H, W]``, and whether it had 16 bits."""
        try:
            source = item.source if isinstance(item.source, Path) else BytesIO(item.source)
            with Image.open(source) as opened:
                image, sixteen = _eight_bits(opened)
                if self.rgb or image.mode not in GREY:
                    image = image.convert("RGB")
                elif image.mode != "L":
                    image = image.convert("L")
                if self.size:
                    image = image.resize((self.size, self.size))
                pixels = np.asarray(image)
        except Exception as error:  # Pillow's readers raise SyntaxError, struct.error, DecompressionBombError
            raise UserError(f"dataset.path: {item.name} {_why(error)}") from error
        return pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None], sixteen


def _why(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "cannot be decoded: it is no image that Pillow knows"
    return f"cannot be decoded: {first_line(error)}"


def _eight_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return the image with 8 bits a channel, and whether it had 16."""
    if image.mode == "F":
        raise UserError("holds floating point pixels; expected 8 or 16 bits, or give them as an .npz")
    if image.mode == "LA":
        return image.convert("L"), False
    if not image.mode.startswith("I"):
        return image, False
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise UserError(f"holds pixels from {pixels.min()} to {pixels.max()}; expected 0 to 65535")
    return Image.fromarray(np.rint(pixels / 257).astype(np.uint8)), True
