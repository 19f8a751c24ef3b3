"""Simulated optical-coherence-tomography scans of the retina: no patient, no licence, any number.

A scan is built as an optical one comes about: layers of differing reflectivity between curved
boundaries, light that weakens with depth and behind vessels, speckle that multiplies the signal
(Schmitt, Xiang & Yung 1999, "Speckle in optical coherence tomography", J. Biomed. Opt. 4:95), the
detector's noise, and a logarithmic grey scale. What is simulated looks like the real thing but
teaches nothing about patients: use it to study methods.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from tlkit.dataset import SPLIT_NAMES, Dataset, Split, check_seed, image_size, take_per_class
from tlkit.errors import InputError

CLASS_NAMES = ("normal", "lesion")
PER_CLASS = {"train": 400, "validation": 100, "test": 200}
GRID = 128  # samples of a scan in depth and across, whatever the size of the image
DETECTOR_NOISE = 0.012  # reflectivity that would give the same signal
DECIBELS = 24.0  # range of the grey scale

# Reflectivity by depth. 0 to 1: inner retina, from the vitreous to the outer plexiform layer;
# 1 to 2: outer retina, down to the pigment epithelium; 2 to 3 and on: choroid, sclera.
LAYERS = np.array(
    [
        (-0.04, 0.002),  # vitreous
        (0.00, 0.75),  # nerve fibres
        (0.20, 0.60),
        (0.26, 0.28),  # ganglion cells, inner plexiform
        (0.60, 0.32),
        (0.66, 0.11),  # inner nuclear
        (0.82, 0.11),
        (0.88, 0.32),  # outer plexiform
        (1.00, 0.30),
        (1.08, 0.06),  # outer nuclear
        (1.50, 0.06),
        (1.53, 0.16),  # limiting membrane
        (1.57, 0.09),
        (1.66, 0.10),
        (1.70, 0.80),  # ellipsoid zone
        (1.77, 0.75),
        (1.81, 0.22),
        (1.85, 0.25),
        (1.88, 1.00),  # pigment epithelium
        (2.00, 0.95),
        (2.06, 0.30),  # choroid
        (2.60, 0.26),
        (3.60, 0.10),  # sclera
        (9.00, 0.04),
    ]
)
EPITHELIUM, ELLIPSOID = 1.86, 1.79  # where drusen and fluid gather


def oct_phantom_images(
    n_per_class: int, size: int | tuple[int, int] = 64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate scans without and with a lesion.

    Image i depends on `seed` and i alone: a larger `n_per_class` begins with the same images.

    Args:
        n_per_class: scans of each class.
        size: pixels, one number or (height, width).
        seed: 0 to 2**32 - 1.

    Returns:
        images, uint8 [2 * n_per_class, height, width, 3] (grey, three equal channels), and
        labels, int64 [2 * n_per_class], 0 normal and 1 lesion in turn.

    Raises:
        InputError: when an argument is out of its range.

    Example:
        >>> images, labels = oct_phantom_images(2, size=32, seed=0)
        >>> images.shape, labels.tolist()
        ((4, 32, 32, 3), [0, 1, 0, 1])
    """
    if n_per_class < 1:
        raise InputError(f"n_per_class={n_per_class!r}: give a whole number of at least 1")
    labels = np.tile([0, 1], n_per_class).astype(np.int64)
    return _simulate((check_seed(seed),), np.arange(2 * n_per_class), image_size(size)), labels


def load_oct_phantom(
    size: int | tuple[int, int] = 64, train_per_class: int | None = None, seed: int = 0
) -> Dataset:
    """Simulate a dataset of 400 / 100 / 200 scans a class for train, validation and test.

    Every scan is an independent draw, so that the splits are disjoint by construction.

    Args:
        size: pixels, one number or (height, width).
        train_per_class: training scans of each class, at most 400; None for all.
        seed: 0 to 2**32 - 1.

    Returns:
        The dataset, with the classes "normal" and "lesion".

    Raises:
        InputError: when an argument is out of its range.
    """
    height_width, seed = image_size(size), check_seed(seed)
    splits = []
    for part, name in enumerate(SPLIT_NAMES):
        labels = np.tile([0, 1], PER_CLASS[name]).astype(np.int64)
        wanted = train_per_class if name == "train" else None
        kept = take_per_class(labels, wanted, seed, CLASS_NAMES)
        images = _simulate((seed, part), kept, height_width)
        splits.append(Split(images, labels[kept], tuple(f"{name}/{i:04d}" for i in kept)))
    train, validation, test = splits
    return Dataset(
        "oct_phantom",
        CLASS_NAMES,
        train,
        validation,
        test,
        description="Simulated optical-coherence-tomography scans of the retina, without or with "
        "a lesion (drusen, subretinal fluid or a cyst); speckle after Schmitt et al. 1999.",
    )


def _simulate(seeds: tuple[int, ...], numbers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scans by number: normal where it is even, with a lesion where it is odd."""
    images = np.empty((len(numbers), *size, 3), np.uint8)
    for image, number in zip(images, numbers, strict=True):
        random = np.random.default_rng([*seeds, int(number)])
        scan = Image.fromarray(_scan(random, lesion=bool(number % 2)))
        scan = scan.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        image[:] = np.asarray(scan)[..., None]
    return images


def _scan(random: np.random.Generator, lesion: bool) -> np.ndarray:
    """Simulate one scan, uint8 [GRID, GRID]: rows are depth, columns the position across."""
    kind = random.choice(["drusen", "fluid", "cyst"]) if lesion else "none"
    across = np.linspace(-1, 1, GRID)
    depth = np.linspace(0, 1, GRID)[:, None]
    inner, outer, floor = _retina(random, across)

    # Drusen and fluid open a gap in the layers and lift what lies above it.
    lift = _lift(random, across, kind)
    bottom = floor - (2 - (ELLIPSOID if kind == "fluid" else 2)) * outer
    lifted = depth < bottom - lift
    z = np.where(lifted, depth + lift, depth)
    start = floor - outer  # of the outer retina
    surface = start - inner + lift - gaussian_filter1d(0.6 * lift, 6)  # it rises less, and smoothly
    surface = np.minimum(surface, start - 0.01)
    place = np.where(z < start, (z - surface) / (start - surface), 1 + (z - start) / outer)
    bend = 1 + _smooth(random, 25, 0.12)  # layers thicken and thin across
    place = np.where((place > 0) & (place < 1), np.abs(place) ** bend, place)
    tissue = np.interp(place, *LAYERS.T)
    tissue *= np.exp(_smooth(random, (3, 5), 0.25) + (place > 2.05) * _smooth(random, (3, 4), 0.6))

    gap = ~lifted & (depth < bottom)
    filling = random.uniform(0.25, 0.6) if kind == "drusen" else random.uniform(0.01, 0.08)
    tissue = np.where(gap, filling, tissue)
    if kind == "cyst":
        tissue = _with_cysts(random, tissue, place, across, depth)
    tissue = gaussian_filter(tissue, 0.5)
    return _picture(random, tissue, place)


def _retina(random: np.random.Generator, across: np.ndarray) -> tuple[np.ndarray, ...]:
    """Thickness of inner and outer retina and depth of its floor, each [GRID], 1 = whole depth."""
    floor = random.uniform(0.61, 0.67) + random.uniform(-0.04, 0.04) * across
    floor = floor + random.uniform(-0.03, 0.05) * across**2 + _smooth(random, 10, 0.004)
    inner = random.uniform(0.15, 0.21) + random.uniform(-0.02, 0.02) * across
    outer = random.uniform(0.15, 0.19) * np.ones(GRID)
    if random.random() < 0.6:  # through the fovea
        pit = np.exp(-(((across - random.uniform(-0.4, 0.4)) / random.uniform(0.2, 0.35)) ** 2))
        inner = inner * (1 - random.uniform(0.5, 0.92) * pit)
        outer = outer * (1 + random.uniform(0.05, 0.2) * pit)
    return inner * (1 + _smooth(random, 15, 0.03)), outer, floor


def _lift(random: np.random.Generator, across: np.ndarray, kind: str) -> np.ndarray:
    lift = np.zeros(GRID)
    if kind == "drusen":
        for _ in range(random.integers(1, 5)):
            lift = np.maximum(lift, _dome(random, across, (0.06, 0.2), (0.015, 0.08)))
    elif kind == "fluid":
        lift = _dome(random, across, (0.2, 0.6), (0.015, 0.13))
    return lift


def _dome(
    random: np.random.Generator,
    across: np.ndarray,
    half_width: tuple[float, float],
    height: tuple[float, float],
) -> np.ndarray:
    from_middle = (across - random.normal(0, 0.3)) / random.uniform(*half_width)
    return random.uniform(*height) * np.clip(1 - from_middle**2, 0, None) ** 0.8


def _with_cysts(
    random: np.random.Generator,
    tissue: np.ndarray,
    place: np.ndarray,
    across: np.ndarray,
    depth: np.ndarray,
) -> np.ndarray:
    """Put dark, sharply bounded ellipses into the nuclear layers."""
    middle = random.normal(0, 0.3)
    for _ in range(random.integers(1, 5)):
        x = middle + random.normal(0, 0.15)
        column = int(np.argmin(np.abs(across - x)))
        wanted = random.choice([0.7, 0.85, 1.2])
        z = depth[int(np.argmin(np.abs(place[:, column] - wanted))), 0]
        width, height = random.uniform(0.06, 0.2), random.uniform(0.018, 0.06)
        radius = np.hypot((across - x) / width, (depth - z) / height)
        within = (place > 0.15) & (place < 1.65)
        tissue = np.where(within & (radius < 1.25), np.maximum(tissue, 0.3), tissue)
        tissue = np.where(within & (radius < 1), random.uniform(0.005, 0.06), tissue)
    return tissue


def _picture(random: np.random.Generator, tissue: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Illuminate the tissue, add speckle and noise, and set it in decibels."""
    absorbed = np.cumsum(tissue, axis=0) / GRID
    light = np.exp(-random.uniform(8, 14) * absorbed)
    for _ in range(random.integers(0, 5)):  # vessels of the inner retina cast shadows
        columns = (np.arange(GRID) - random.uniform(0, GRID)) / random.uniform(1, 3.5)
        shade = 1 - random.uniform(0.4, 0.85) * np.exp(-(columns**2))
        light = light * np.where(place > 0.3, shade, 1)
    looks = random.uniform(1, 4)
    speckle = gaussian_filter(random.gamma(looks, 1 / looks, tissue.shape), (0.5, 0.8))
    noise = DETECTOR_NOISE * random.uniform(0.5, 2) * random.exponential(1, tissue.shape)
    decibels = 10 * np.log10(tissue * light * speckle + noise)
    black = -20 + random.uniform(-2, 2)
    grey = np.clip((decibels - black) / DECIBELS, 0, 1)
    return np.round(255 * grey).astype(np.uint8)


def _smooth(
    random: np.random.Generator, scale: float | tuple[float, float], spread: float
) -> np.ndarray:
    """Smooth random variation with the given standard deviation, [GRID] or [GRID, GRID]."""
    shape = (GRID, GRID) if isinstance(scale, tuple) else (GRID,)
    noise = gaussian_filter(random.normal(size=shape), scale, mode="wrap")
    return spread * noise / noise.std()
