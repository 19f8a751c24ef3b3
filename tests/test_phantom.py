import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tlkit import phantom
from tlkit.errors import InputError
from tlkit.phantom import load_oct_phantom, oct_phantom_images


def test_images_and_labels():
    images, labels = oct_phantom_images(3, (24, 32), seed=0)
    assert images.shape == (6, 24, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [3, 3]
    assert np.array_equal(images[..., 0], images[..., 2])  # grey


def test_same_seed_same_images_and_more_begin_alike():
    few, more = oct_phantom_images(2, 16, seed=5)[0], oct_phantom_images(4, 16, seed=5)[0]
    assert np.array_equal(few, more[:4])
    assert not np.array_equal(few, oct_phantom_images(2, 16, seed=6)[0])


def test_grey_levels_are_those_of_a_scan():
    images, _ = oct_phantom_images(20, 64, seed=0)
    vitreous, retina, depth = (
        images[:, rows].mean() for rows in (slice(8), slice(28, 42), slice(56, 64))
    )
    assert vitreous < 50
    assert retina > 90
    assert vitreous < depth < retina
    assert (images == 255).mean() < 0.05


def test_speckle_multiplies_the_signal():
    surface = np.zeros((phantom.GRID, phantom.GRID))
    dim, bright = (
        phantom._picture(np.random.default_rng(1), surface + reflectivity, surface)[:4]
        for reflectivity in (0.2, 0.8)
    )
    assert bright.mean() > dim.mean() + 30
    assert 0.75 < bright.std() / dim.std() < 1.25  # noise that is added would give about 1 / 4


def test_dataset():
    data = load_oct_phantom(size=16, train_per_class=3, seed=0)
    assert data.class_names == ("normal", "lesion")
    assert data.summary().to_numpy().tolist() == [[3, 100, 200], [3, 100, 200]]
    assert "imulated" in data.description
    splits = (data.train, data.validation, data.test)
    every = np.concatenate([split.images for split in splits])
    assert len(np.unique(every.reshape(len(every), -1), axis=0)) == len(every)
    assert len({name for split in splits for name in split.names}) == len(every)


def test_smaller_draws_are_part_of_larger_ones(monkeypatch):
    monkeypatch.setattr(phantom, "PER_CLASS", {"train": 8, "validation": 2, "test": 2})
    few, more = (load_oct_phantom(16, n, 0) for n in (2, 5))
    assert set(few.train.names) < set(more.train.names)
    assert np.array_equal(few.test.images, more.test.images)


@pytest.mark.parametrize(
    "options", [{"size": 3}, {"train_per_class": 401}, {"train_per_class": 0}, {"seed": -1}]
)
def test_bad_arguments(options):
    with pytest.raises(InputError, match=f"{next(iter(options))}="):
        load_oct_phantom(**options)


def test_bad_number_of_images():
    with pytest.raises(InputError, match="n_per_class=0"):
        oct_phantom_images(0)


def test_raw_pixels_say_something_but_not_all():
    images, labels = oct_phantom_images(200, 32, seed=1)
    pixels = images[..., 0].reshape(len(images), -1) / 255
    model = LogisticRegression(max_iter=200).fit(pixels[:200], labels[:200])
    assert 0.53 < model.score(pixels[200:], labels[200:]) < 0.78
