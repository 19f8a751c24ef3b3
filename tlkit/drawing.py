"""Draws the synthetic images: shapes are warped, coloured and laid over patches of photographs.

Everything comes from code and from what scikit-learn and matplotlib ship: two photographs and
the typefaces. `shape` always means a float32 mask [size, size] in [0, 1].
"""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

NOT_LETTERS = ("LastResort", "STIXNonUni", "cmex", "cmsy")  # placeholders and mathematical signs


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """Return scikit-learn's two photographs, uint8 [427, 640, 3]."""
    return tuple(load_sample_images().images)


@cache
def typefaces(characters: str) -> tuple[Path, ...]:
    """Return matplotlib's typefaces that draw every one of `characters`, in a fixed order."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(
        path
        for path in sorted(folder.glob("*.ttf"))
        if not path.name.startswith(NOT_LETTERS)
        and all(FT2Font(str(path)).get_char_index(ord(character)) for character in characters)
    )


@cache
def glyph(character: str, typeface: Path, size: int) -> np.ndarray:
    """Draw one character, centred, about two thirds of `size` high."""
    font = ImageFont.truetype(str(typeface), round(size * 0.75))
    image = Image.new("L", (size, size))
    ImageDraw.Draw(image).text((size / 2, size / 2), character, fill=255, font=font, anchor="mm")
    return centred(np.asarray(image, np.float32) / 255)


def centred(shape: np.ndarray) -> np.ndarray:
    """Move a shape's centre of mass to the middle of its image."""
    middle = (np.array(shape.shape) - 1) / 2
    return ndimage.shift(shape, middle - ndimage.center_of_mass(shape), order=1)


def warp(
    shape: np.ndarray,
    rng: np.random.Generator,
    *,
    rotation: float = 20,
    scale: tuple[float, float] = (0.7, 1.2),
    translation: float = 0.1,
    bend: float = 0.04,
) -> np.ndarray:
    """Rotate, shear, scale, move and bend a shape at random.

    Args:
        shape: float32 [size, size].
        rng: source of chance.
        rotation: largest angle in degrees; the shear is at most half of it.
        scale: range of the scaling factor; the sides differ by up to a tenth besides.
        translation: largest shift as a share of the side.
        bend: typical displacement of a smooth random field as a share of the side.

    Returns:
        float32 [size, size].
    """
    size = shape.shape[0]
    angle, shear = np.radians(rng.uniform(-rotation, rotation, 2) * (1, 0.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = (
        turn @ [[1, np.tan(shear)], [0, 1]] / rng.uniform(*scale) / rng.uniform(0.9, 1.1, (2, 1))
    )
    middle = (size - 1) / 2
    grid = np.indices((size, size), np.float32) - middle
    points = np.tensordot(matrix, grid, 1) + middle
    points -= rng.uniform(-translation, translation, (2, 1, 1)) * size
    points += smooth_noise(rng, 2, size) * bend * size
    return ndimage.map_coordinates(shape, points, order=1, mode="constant", output=np.float32)


@cache
def _smoothing(knots: int, size: int) -> np.ndarray:
    """Cubic interpolation from `knots` values to `size` values, as a matrix."""
    return ndimage.zoom(np.eye(knots), (size / knots, 1), order=3, grid_mode=True, mode="nearest")


def smooth_noise(rng: np.random.Generator, fields: int, size: int, knots: int = 5) -> np.ndarray:
    """Draw smooth random fields [fields, size, size], mean 0 and deviation about 1."""
    spread = _smoothing(knots, size)
    return spread @ rng.standard_normal((fields, knots, knots)) @ spread.T


def patch(photograph: np.ndarray, rng: np.random.Generator, size: int, side: float) -> np.ndarray:
    """Cut a random square of `side` pixels from a photograph, mirrored half of the time."""
    height, width = photograph.shape[:2]
    top, left = rng.uniform(0, height - side), rng.uniform(0, width - side)
    return cut(photograph, size, (left, top, left + side, top + side), rng.random() < 0.5)


def cut(photograph: np.ndarray, size: int, box: tuple, mirrored: bool = False) -> np.ndarray:
    """Resize the `box` (left, top, right, bottom) of a photograph to float32 [size, size, 3]."""
    image = Image.fromarray(photograph).resize((size, size), Image.Resampling.BILINEAR, box)
    pixels = np.asarray(image, np.float32)
    return pixels[:, ::-1] if mirrored else pixels


def recolour(image: np.ndarray, rng: np.random.Generator, strength: float = 0.5) -> np.ndarray:
    """Change contrast and brightness of each channel, and mix the channels, at random."""
    mixing = np.eye(3) + strength * rng.uniform(-0.5, 0.5, (3, 3))
    middle = image.mean((0, 1))
    contrast = rng.uniform(1 - strength, 1 + strength / 2)
    brightness = 60 * strength * rng.uniform(-1, 1, 3)
    return (image - middle) * contrast @ mixing + middle + brightness


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Cut and recolour a random patch of a random photograph, float32 [size, size, 3]."""
    photograph = photographs()[rng.integers(2)]
    return recolour(patch(photograph, rng, size, rng.uniform(1, 4) * 64), rng)


def lay_over(shape: np.ndarray, rng: np.random.Generator, contrast: float = 60) -> np.ndarray:
    """Paint a shape in a random colour over a random background.

    Args:
        shape: float32 [size, size].
        rng: source of chance.
        contrast: least difference of brightness (0 to 255) between the colour and what it covers.

    Returns:
        uint8 [size, size, 3].
    """
    size = shape.shape[0]
    ground = background(rng, size)
    covered = np.average(ground.mean(2), weights=shape + 1e-6)
    colour = rng.uniform(0, 255, 3)
    while abs(colour.mean() - covered) < contrast:
        colour = rng.uniform(0, 255, 3)
    paint = colour + 25 * smooth_noise(rng, 1, size, knots=3)[0][..., None]
    alpha = (shape * rng.uniform(0.85, 1))[..., None]
    return finish(ground * (1 - alpha) + paint * alpha, rng)


def finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur a little at times, add sensor noise, and round to uint8."""
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, (0.8, 0.8, 0))
    image = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(0, 8)
    return np.clip(image, 0, 255).astype(np.uint8)
