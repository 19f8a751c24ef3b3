"""Reads image files of every kind into RGB arrays, however many and however damaged."""

import hashlib
import io
import os
import shutil
import tempfile
import time
import warnings
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import Progress

from tlkit.dataset import image_size
from tlkit.errors import InputError
from tlkit.mapped import release
from tlkit.paths import cache_folder

MEMORY_LIMIT = 2**28  # bytes of pixels; beyond, they lie in a file


def read_image(path: str | os.PathLike, size: int | tuple[int, int] = 64) -> np.ndarray:
    """Read one image file as RGB, upright and undistorted.

    The EXIF orientation is honoured; transparency is laid on white; 16-bit grey is divided by
    257, other grey levels above 255 are scaled by their maximum; of an animation the first frame
    is read. The image is scaled to cover `size` (bicubic, antialiased) and its middle cut out.

    Args:
        path: a file of any format that Pillow reads.
        size: pixels, one number or (height, width).

    Returns:
        uint8 [height, width, 3].

    Raises:
        InputError: when the file is missing, damaged or no image.
    """
    height_width = image_size(size)
    try:
        return _pixels(Path(path).read_bytes(), height_width)
    except Exception as error:
        raise InputError(f"path={str(path)!r}: {why_unreadable(error)}") from error


def read_images(
    paths: Sequence[str], height_width: tuple[int, int], progress: bool = False
) -> tuple[np.ndarray, list[bytes], list[str | None]]:
    """Read many image files in parallel, batch by batch, each file once.

    Args:
        paths: the files.
        height_width: pixels.
        progress: show a bar on standard error while more than 200 files are read.

    Returns:
        uint8 [n, height, width, 3] from `empty_images`; the SHA-1 of each file's bytes; and None
        for each file or why it could not be read. It then has no pixels and an empty SHA-1.
    """
    images = empty_images(len(paths), height_width)
    digests = [b""] * len(paths)
    reasons: list[str | None] = [None] * len(paths)

    def read(i: int) -> None:
        try:
            data = Path(paths[i]).read_bytes()
            images[i] = _pixels(data, height_width)
            digests[i] = hashlib.sha1(data, usedforsecurity=False).digest()
        except Exception as error:  # Pillow raises nearly anything on damaged files
            reasons[i] = why_unreadable(error)

    quiet = not progress or len(paths) <= 200
    bar = Progress(console=Console(stderr=True), disable=quiet)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, bar:
        warnings.simplefilter("ignore")  # what Pillow warns of is damaged or not; both are handled
        for i in bar.track(range(0, len(paths), 64), description="Reading images"):
            list(pool.map(read, range(i, min(i + 64, len(paths)))))
            release(images)
    return images, digests, reasons


def empty_images(count: int, height_width: tuple[int, int]) -> np.ndarray:
    """Make room for images: in memory up to `MEMORY_LIMIT`, else in a file in the cache folder.

    The file has a name, so that worker processes can open it; it is removed when the array and
    all views of it are gone.

    Args:
        count: number of images.
        height_width: pixels.

    Returns:
        uint8 [count, height, width, 3], its values undefined.

    Raises:
        InputError: when the disk has too little space.
    """
    shape = (count, *height_width, 3)
    needed = count * height_width[0] * height_width[1] * 3
    if needed <= MEMORY_LIMIT:
        return np.empty(shape, np.uint8)
    folder = cache_folder()
    for left_over in folder.glob("images-*.tmp"):  # of processes that were killed
        with suppress(OSError):
            if left_over.stat().st_mtime < time.time() - 7 * 24 * 3600:
                left_over.unlink()
    free = shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise InputError(
            f"size={height_width}: {count} images need {needed / 2**30:.1f} GiB in {folder}, which "
            f"has {free / 2**30:.1f} GiB free; choose a smaller size or set TLKIT_CACHE to a "
            "folder on a larger disk"
        )
    handle, name = tempfile.mkstemp(prefix="images-", suffix=".tmp", dir=folder)
    os.close(handle)
    images = np.memmap(name, np.uint8, "w+", shape=shape)
    weakref.finalize(images._mmap, _remove, name, os.getpid())  # type: ignore[attr-defined]
    return images


def _remove(name: str, owner: int) -> None:
    with suppress(OSError):
        if os.getpid() == owner:  # not in a forked worker
            os.unlink(name)


@cache
def image_formats() -> tuple[str, ...]:
    """Pillow's formats that are safe to open; EPS would start Ghostscript."""
    Image.init()
    return tuple(name for name in Image.OPEN if name != "EPS")


@cache
def image_suffixes() -> frozenset[str]:
    """File name endings of those formats, small letters, with their dot."""
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in known if name in image_formats())


def _pixels(data: bytes, height_width: tuple[int, int]) -> np.ndarray:
    height, width = height_width
    with Image.open(io.BytesIO(data), formats=image_formats()) as image:
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        image.draft(None, (2 * max(height_width), 2 * max(height_width)))  # quick for big JPEGs
        image.load()
        with suppress(Exception):  # damaged EXIF data do not make an image useless
            ImageOps.exif_transpose(image, in_place=True)
        plain: Image.Image = image
        if image.mode.startswith("I") or image.mode == "F":
            plain = _eight_bit(image)
        elif image.has_transparency_data:
            colours = image.convert("RGBA")
            plain = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours)
        fitted = ImageOps.fit(plain.convert("RGB"), (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted)


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0).clip(0)
    top = values.max()
    if image.mode.startswith("I;16") or (image.format == "PNG" and top > 255):
        white = 65535.0  # 65535 / 255 = 257
    elif image.mode == "F" and top <= 1:
        white = 1.0
    else:
        white = max(top, 255.0)
    return Image.fromarray(np.round(values * (255 / white)).astype(np.uint8))


def why_unreadable(error: Exception) -> str:
    """Say in words why a file could not be read."""
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: more than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or damaged from its first bytes on"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened: {error.strerror}"
    if "truncated" in str(error).lower():
        return "truncated: the end of the file is missing"
    return f"damaged: {str(error) or type(error).__name__}"
