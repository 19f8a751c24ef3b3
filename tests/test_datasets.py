"""The embedded data sets and the door to all others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlkit import drawing, load_dataset
from tlkit.datasets import EMBEDDED
from tlkit.errors import InputError
from tlkit.source_task import LETTERS, source_classes

DIGITS = ["digits", "wild_digits"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_small_draw_has_the_promised_shape(name):
    dataset = load_dataset(name, size=16, train_per_class=3, seed=1)
    assert dataset.name == name
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.dtype == np.uint8
        assert split.images.shape == (len(split), 16, 16, 3)
        assert split.labels.dtype == np.int64
    assert np.bincount(dataset.train.labels).tolist() == [3] * dataset.num_classes
    assert set(dataset.test.labels) == set(range(dataset.num_classes))
    assert dataset.description


@pytest.mark.parametrize("name", DIGITS)
def test_splits_share_no_handwritten_digit(name):
    dataset = load_dataset(name, size=8)
    bases = [
        {image.split(".")[0] for image in split.names}
        for split in (dataset.train, dataset.validation, dataset.test)
    ]
    assert sum(map(len, bases)) == len(set.union(*bases)) == 1797


@pytest.mark.parametrize("name", DIGITS)
def test_splits_are_stratified(name):
    dataset = load_dataset(name, size=8)
    shares = dataset.summary() / dataset.summary().sum()
    assert (shares.max(axis=1) - shares.min(axis=1)).max() < 0.005


def test_one_seed_gives_one_data_set_and_another_another():
    first, again, other = (
        load_dataset("wild_digits", size=16, train_per_class=2, seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.train.images, again.train.images)
    assert not np.array_equal(first.train.images, other.train.images)


def test_a_larger_draw_contains_the_smaller_and_keeps_the_test_split():
    small, large = (load_dataset("wild_digits", size=16, train_per_class=count) for count in (2, 5))
    assert set(small.train.names) < set(large.train.names)
    assert np.array_equal(small.test.images, large.test.images)


def test_few_labels_come_from_different_digits_and_many_from_all_versions():
    few = load_dataset("wild_digits", size=8, train_per_class=50)
    assert {name.split(".")[1] for name in few.train.names} == {"0"}
    many = load_dataset("wild_digits", size=8, train_per_class=150)
    assert {name.split(".")[1] for name in many.train.names} == {"0", "1"}


def test_no_digit_is_in_the_source_task():
    names = {source.name for source in source_classes() if source.kind in ("letter", "symbol")}
    assert not names & set("0123456789")
    assert set(LETTERS) <= names


def test_every_source_class_draws_an_image_with_something_in_it():
    for source in source_classes():
        image = source.draw(np.random.default_rng(0), 32)
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        assert image.std() > 2, source.name


@given(seed=st.integers(0, 10_000), size=st.sampled_from([8, 33, 64]))
@settings(max_examples=25, deadline=None)
def test_a_warp_keeps_the_range_of_a_shape(seed, size):
    shape = np.zeros((size, size), np.float32)
    shape[size // 4 : -size // 4, size // 4 : -size // 4] = 1
    warped = drawing.warp(shape, np.random.default_rng(seed))
    assert warped.shape == shape.shape
    assert warped.dtype == np.float32
    assert warped.min() >= 0
    assert 0 < warped.max() <= 1


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match=r"'no_such'.*wild_digits.*cifar10"):
        load_dataset("no_such")


def test_more_labels_than_there_are_name_the_class():
    with pytest.raises(InputError, match=r"train_per_class=500.*class '"):
        load_dataset("digits", train_per_class=500)
    with pytest.raises(InputError, match="train_per_class=0"):
        load_dataset("digits", train_per_class=0)


def test_a_folder_is_a_data_set(shared_data):
    dataset = load_dataset(shared_data / "sign_language_digits", size=32, train_per_class=2)
    assert dataset.num_classes == 10
    assert dataset.train.images.shape == (20, 32, 32, 3)
