"""The task on which the embedded family is pretrained, drawn by code.

One classification problem whose classes come from five kinds of image, so that the features serve
more than one kind of target:

- letters and symbols over photographs: shape, whatever the colour and the background;
- closed contours with random surfaces: silhouettes (after Kataoka et al. 2022, radial contours);
- fractals of iterated function systems (after Kataoka et al. 2020);
- band-passed noise: texture, scale and orientation;
- cells of scikit-learn's two photographs under heavy distortion (after Asano et al. 2020, who
  learn early layers from a single image, and Dosovitskiy et al. 2014, exemplar networks).

No digit is among them: the digits are what the course transfers to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tlkit import drawing

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abdefghijmnqrty"  # small letters of a shape of their own
SYMBOLS = "ΓΔΘΛΞΠΣΦΨΩαβγδζηθλμξπφψωБДЖИЛЦЧШЭЮЯ∞∫∂√∑≈≠≡±÷∩∪∈∀∃∇→↑↔⇒"
FIGURES = "★☎☂☀♠♥♦♣♞♜♪☯✂✈✿❄☺⚡⚓☕⚙♻"
CONTOURS, FRACTALS, CELLS = 48, 48, (4, 6)
PLAIN = 15  # a cell whose brightness deviates by less holds nothing that could be recognised
FREQUENCIES, ORIENTATIONS = (3, 6, 12), (None, 0, 45, 90, 135)


@dataclass(frozen=True)
class SourceClass:
    """One class: `draw(rng, size)` returns a new uint8 image [size, size, 3] of it."""

    kind: str
    name: str
    draw: Callable[[np.random.Generator, int], np.ndarray]


def draw_letter(rng: np.random.Generator, size: int, character: str) -> np.ndarray:
    """Draw a character in a random typeface, warped, over a photograph."""
    faces = drawing.typefaces(character)
    shape = drawing.glyph(character, faces[rng.integers(len(faces))], size)
    return drawing.lay_over(drawing.warp(shape, rng), rng, contrast=40)


def draw_contour(rng: np.random.Generator, size: int, identity: int) -> np.ndarray:
    """Draw a closed contour r(angle) = sum of six harmonics, with a surface and shading."""
    own = np.random.default_rng([1, identity])
    waves = np.arange(1, 7)
    amplitude = own.normal(0, 0.35, 6) / np.sqrt(waves) * rng.normal(1, 0.1, 6)
    phase = own.uniform(0, 2 * np.pi, 6) + rng.normal(0, 0.1, 6)
    y, x = np.indices((size, size), np.float32) / (size / 2) - 1
    angle = np.arctan2(y, x)[..., None]
    radius = 0.55 * np.exp((amplitude * np.cos(waves * angle + phase)).sum(-1))
    shape = drawing.warp(np.clip((radius - np.hypot(x, y)) * size / 4, 0, 1), rng, rotation=30)
    surface = drawing.recolour(drawing.background(rng, size), rng, strength=1)
    light = ndimage.gaussian_filter(shape, size / 16)
    slope = np.tensordot(rng.normal(0, 300, 2), np.gradient(light), 1)
    flat = drawing.background(rng, size) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    alpha = shape[..., None]
    return drawing.finish(flat * (1 - alpha) + (surface + slope[..., None]) * alpha, rng)


def draw_fractal(rng: np.random.Generator, size: int, identity: int) -> np.ndarray:
    """Draw the attractor of a class's own random contractions, slightly changed."""
    own = np.random.default_rng([2, identity])
    maps = int(own.integers(2, 6))
    turns = own.uniform(0, 2 * np.pi, (2, maps)) + rng.normal(0, 0.05, (2, maps))
    stretch = own.uniform(0.3, 0.85, (2, maps))
    shifts = own.uniform(-1, 1, (maps, 2))
    (cos_a, cos_b), (sin_a, sin_b) = np.cos(turns), np.sin(turns)
    left = np.array([[cos_a, -sin_a], [sin_a, cos_a]]).transpose(2, 0, 1) * stretch.T[:, None]
    matrices = left @ np.array([[cos_b, -sin_b], [sin_b, cos_b]]).transpose(2, 0, 1)
    points, visited = rng.uniform(-1, 1, (400, 2)), []
    for step in range(22):
        chosen = rng.integers(maps, size=len(points))
        points = np.einsum("nij,nj->ni", matrices[chosen], points) + shifts[chosen]
        if step > 9:
            visited.append(points)
    cloud = np.concatenate(visited)
    low, high = np.percentile(cloud, [1, 99], axis=0)
    cells = ((cloud - low) / (high - low).max() * 0.8 + 0.1) * size
    density, *_ = np.histogram2d(cells[:, 0], cells[:, 1], size, [[0, size], [0, size]])
    shape = np.clip(ndimage.gaussian_filter(density, 0.7), 0, 1).astype(np.float32)
    return drawing.lay_over(drawing.warp(drawing.centred(shape), rng), rng)


def draw_texture(
    rng: np.random.Generator, size: int, frequency: int, orientation: int | None, sharp: bool
) -> np.ndarray:
    """Draw noise limited to a band of frequencies (cycles an image) and of orientations."""
    v = np.fft.fftfreq(size, 1 / size)[:, None]
    u = np.fft.rfftfreq(size, 1 / size)[None]
    octaves = np.log2(np.hypot(u, v) + 1e-6) - np.log2(frequency * rng.uniform(0.85, 1.15))
    band = np.exp(-6 * octaves**2)
    if orientation is not None:
        angle = np.arctan2(v, u) - np.radians(orientation + rng.uniform(-10, 10))
        band = band * np.exp(24 * (np.abs(np.cos(angle)) - 1))
    field = np.fft.irfft2(band * np.fft.rfft2(rng.standard_normal((size, size))), s=(size, size))
    field = field / field.std()
    blend = (np.tanh(6 * field if sharp else field)[..., None] + 1) / 2
    first, second = rng.uniform(0, 255, (2, 3))
    lit = 30 * drawing.smooth_noise(rng, 1, size, knots=3)[0][..., None]
    return drawing.finish(first * blend + second * (1 - blend) + lit, rng)


def draw_cell(
    rng: np.random.Generator, size: int, photograph: int, row: int, column: int
) -> np.ndarray:
    """Cut about one cell of a grid over a photograph; distort its place, scale, tilt and colour."""
    picture = drawing.photographs()[photograph]
    (height, width), (rows, columns) = picture.shape[:2], CELLS
    side = height / rows * rng.uniform(0.6, 1.3)
    middle = np.array([(column + 0.5) * width / columns, (row + 0.5) * height / rows])
    left, top = middle + rng.uniform(-0.25, 0.25, 2) * height / rows - side / 2
    left, top = np.clip([left, top], 0, [width - side, height - side])
    image = drawing.cut(picture, size, (left, top, left + side, top + side), rng.random() < 0.5)
    image = ndimage.rotate(image, rng.uniform(-20, 20), order=1, reshape=False, mode="reflect")
    return drawing.finish(drawing.recolour(image, rng, strength=0.8), rng)


def source_classes() -> tuple[SourceClass, ...]:
    """List every class of the source task, in a fixed order."""
    return tuple(_classes())


def _classes() -> Iterator[SourceClass]:
    def bound(function, *arguments):
        return lambda rng, size: function(rng, size, *arguments)

    for kind, characters in [("letter", LETTERS), ("symbol", SYMBOLS + FIGURES)]:
        for character in characters:
            yield SourceClass(kind, character, bound(draw_letter, character))
    for identity in range(CONTOURS):
        yield SourceClass("contour", f"contour {identity}", bound(draw_contour, identity))
    for identity in range(FRACTALS):
        yield SourceClass("fractal", f"fractal {identity}", bound(draw_fractal, identity))
    for frequency in FREQUENCIES:
        for orientation in ORIENTATIONS:
            for sharp in (False, True):
                name = f"texture {frequency} {orientation} {sharp}"
                draw = bound(draw_texture, frequency, orientation, sharp)
                yield SourceClass("texture", name, draw)
    for photograph in range(2):
        for row in range(CELLS[0]):
            for column in range(CELLS[1]):
                if _cell(photograph, row, column).std() > PLAIN:
                    name = f"cell {photograph} {row} {column}"
                    yield SourceClass("cell", name, bound(draw_cell, photograph, row, column))


def _cell(photograph: int, row: int, column: int) -> np.ndarray:
    """Cut one cell exactly, as grey values."""
    grey = drawing.photographs()[photograph].mean(2)
    height, width = (side // cells for side, cells in zip(grey.shape, CELLS, strict=True))
    return grey[row * height :, column * width :][:height, :width]


def draw_class(position: int, count: int, size: int, seed: int) -> np.ndarray:
    """Draw `count` images of the class at `position`, uint8 [count, size, size, 3]."""
    draw = source_classes()[position].draw
    return np.stack([draw(np.random.default_rng([seed, position, i]), size) for i in range(count)])
