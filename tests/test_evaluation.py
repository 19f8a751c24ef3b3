import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from tlkit.errors import InputError
from tlkit.evaluation import (
    Interval,
    accuracy_interval,
    classification_metrics,
    expected_calibration_error,
    mean_interval,
    paired_difference,
)

answers = st.tuples(st.integers(1, 4), st.integers(1, 30)).flatmap(lambda s: arrays(bool, s))


def some_predictions(images=200, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[labels]
    odds = np.exp(logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


def test_metrics_are_those_of_scikit_learn():
    labels, probabilities = some_predictions()
    predicted = probabilities.argmax(axis=1)
    measured = classification_metrics(labels, probabilities)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "macro_precision": reference.precision_score(labels, predicted, average="macro"),
        "macro_recall": reference.recall_score(labels, predicted, average="macro"),
        "log_loss": reference.log_loss(labels, probabilities),
        "roc_auc": reference.roc_auc_score(labels, probabilities, multi_class="ovr"),
    }
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    assert all(type(value) is float for value in measured.values())


def test_two_classes_have_the_usual_roc_curve():
    labels, probabilities = some_predictions(classes=2)
    expected = reference.roc_auc_score(labels, probabilities[:, 1])
    assert classification_metrics(labels, probabilities)["roc_auc"] == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_a_class_that_the_split_lacks_is_left_out():
    labels, probabilities = some_predictions()
    kept = labels != 2
    measured = classification_metrics(labels[kept], probabilities[kept].astype(np.float32))
    assert all(math.isfinite(value) for value in measured.values())
    only = classification_metrics(labels[labels == 1], probabilities[labels == 1])
    assert math.isnan(only.pop("roc_auc"))
    assert all(math.isfinite(value) for value in only.values())


def test_calibration_error_against_a_plain_loop():
    labels, probabilities = some_predictions(500)
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    error = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            gap = abs((predicted == labels)[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    assert expected_calibration_error(labels, probabilities) == pytest.approx(error)
    certain = np.eye(4)[labels]
    assert expected_calibration_error(labels, certain) == 0
    assert expected_calibration_error((labels + 1) % 4, certain) == 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "said"),
    [
        ([0, 1], [[0.5, 0.5]], "probabilities has shape"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "0 to 1 is allowed"),
        ([0, 1], [[2.0, 1.0], [0.5, 0.5]], "sum to 1"),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]], "sum to 1"),
        ([0, 1], [[np.nan, 1.0], [0.5, 0.5]], "diverged"),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], "labels has shape"),
        ([], np.empty((0, 2)), "labels has shape"),
        ([0], [[1.0]], "at least two classes"),
    ],
)
def test_what_cannot_be_measured_is_named(labels, probabilities, said):
    with pytest.raises(InputError, match=said):
        classification_metrics(np.array(labels), np.array(probabilities))


@settings(max_examples=40, deadline=None)
@given(answers, st.sampled_from([0.5, 0.9, 0.95]))
def test_an_interval_holds_its_estimate_and_stays_between_0_and_1(correct, confidence):
    interval = accuracy_interval(correct, confidence)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.value == pytest.approx(correct.mean())


@settings(max_examples=40, deadline=None)
@given(answers)
def test_a_model_does_not_differ_from_itself(correct):
    gain = paired_difference(correct, correct)
    assert gain.difference == 0
    assert gain.low <= 0 <= gain.high
    assert gain.p_value == 1
    assert (gain.seeds, gain.images) == correct.shape


@settings(max_examples=40, deadline=None)
@given(answers, st.randoms(use_true_random=False))
def test_a_difference_turns_its_sign_with_its_arguments(correct, random):
    other = np.random.default_rng(random.randrange(1000)).permuted(correct, axis=1)
    one, two = paired_difference(correct, other), paired_difference(other, correct)
    assert one.difference == -two.difference == pytest.approx(correct.mean() - other.mean())
    assert -1 <= one.low <= one.difference <= one.high <= 1
    assert 0 < one.p_value <= 1


def test_one_seed_may_come_as_a_row_or_as_a_table():
    correct = np.arange(50) % 3 > 0
    assert accuracy_interval(correct) == accuracy_interval(correct[None])


def test_twenty_out_of_twenty_is_not_certainty():
    assert accuracy_interval(np.ones(20, bool)).low < 0.93
    assert accuracy_interval(np.ones((3, 20), bool)).low < 0.93


def test_seeds_that_disagree_widen_the_interval():
    images = np.arange(1000)
    agree = np.stack([images % 10 < 8] * 3)
    disagree = np.stack([images % 10 < share for share in (6, 8, 10)])
    narrow, wide = accuracy_interval(agree), accuracy_interval(disagree)
    assert narrow.value == wide.value
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_a_few_images_that_differ_prove_nothing():
    """As the exact test of McNemar (1947) says: 3 to 0 has p = 0.25, 30 to 0 has p < 0.001."""
    base = np.zeros(200, bool)
    few, many = base.copy(), base.copy()
    few[:3], many[:30] = True, True
    assert paired_difference(few, base).p_value > 0.05
    assert paired_difference(many, base).p_value < 0.001


def simulated(rng, seeds, images, gain=0.0, spread=0.15):
    """Answers of two models: images are easy or hard for both, seeds are lucky or not."""
    shared = 1 + rng.normal(0, 2, images)

    def answer(shift):
        luck = rng.normal(0, spread, (seeds, 1))
        chance = 1 / (1 + np.exp(-(shared + shift + luck + rng.normal(0, 1, (seeds, images)))))
        return rng.random((seeds, images)) < chance

    return answer(gain), answer(0.0)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.15)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(seeds, spread):
    """One seed says nothing of the spread between seeds, so there is none in that case."""
    rng = np.random.default_rng(seeds)
    one, two = simulated(rng, 200, 2000, 0.4, spread)
    truth, true_gain = one.mean(), one.mean() - two.mean()
    held = []
    for _ in range(200):
        one, two = simulated(rng, seeds, 200, 0.4, spread)
        interval, gain = accuracy_interval(one), paired_difference(one, two)
        held.append((interval.low <= truth <= interval.high, gain.low <= true_gain <= gain.high))
    assert all(0.9 <= share <= 0.995 for share in np.mean(held, axis=0))


def test_equal_models_are_seldom_called_different():
    rng = np.random.default_rng(0)
    small = [paired_difference(*simulated(rng, 3, 150)).p_value < 0.05 for _ in range(200)]
    assert np.mean(small) <= 0.09


def test_mean_interval_is_student_t():
    interval = mean_interval([1.0, 2.0, 4.0])
    half = 4.302653 * np.std([1, 2, 4], ddof=1) / np.sqrt(3)
    assert (interval.low, interval.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    single = mean_interval([0.8])
    assert single.value == 0.8
    assert math.isnan(single.low)
    assert "unknown" in str(single)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: accuracy_interval([]), "correct"),
        (lambda: accuracy_interval([0.3, 0.5]), "correct"),
        (lambda: accuracy_interval([True], confidence=95), "confidence is 95"),
        (lambda: mean_interval([]), "values"),
        (lambda: paired_difference([True, False], [True]), "same images"),
    ],
)
def test_errors_name_the_argument(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_intervals_read_well():
    assert str(Interval(0.8123, 0.79, 0.8341)) == "0.812 [0.790, 0.834]"
    assert str(paired_difference([True] * 50, [False] * 50)).endswith("p < 0.001")
