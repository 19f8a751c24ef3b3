"""Says in words which configuration to take, and how sure that is.

The choice is made on the validation images. The test images are looked at afterwards, for two
things: how good the chosen one is, and whether it can be told apart from the runner-up.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tlkit.errors import InputError
from tlkit.evaluation import PairedDifference, accuracy_interval, paired_difference

if TYPE_CHECKING:
    from tlkit.runs import Record

SURE_BELOW = 0.05


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """Rank configurations by mean validation accuracy; of equals the cheaper comes first.

    Args:
        table: one row a run, as `Comparison.table`; runs without a validation accuracy failed and
            are left out.

    Returns:
        One row a configuration, best first: `backbone`, `strategy`, `runs`, and the means of
        `validation_accuracy`, `test_accuracy`, `trainable_parameters` and `seconds`.
    """
    means = ["validation_accuracy", "test_accuracy", "trainable_parameters", "seconds"]
    groups = table.dropna(subset=["validation_accuracy"]).groupby(["backbone", "strategy"])
    ranked = groups[means].mean().assign(runs=groups.size()).reset_index()
    return ranked.sort_values(
        ["validation_accuracy", "trainable_parameters", "seconds"],
        ascending=[False, True, True],
        ignore_index=True,
    )


def best_record(table: pd.DataFrame, records: "Sequence[Record]") -> "Record":
    """Choose the run to keep: of the configuration ranked first, the best seed on validation.

    Raises:
        InputError: when no run finished.
    """
    ranked = rank(table)
    if ranked.empty:
        raise InputError("table has no finished run")
    chosen = _runs_of(ranked.iloc[0], records)
    return max(chosen, key=lambda record: record.validation_metrics["accuracy"])


def recommend(table: pd.DataFrame, records: "Sequence[Record]", labels: np.ndarray) -> str:
    """Recommend a configuration, in plain words that say how sure they are.

    Args:
        table: one row a run, as `Comparison.table`.
        records: the finished runs, with their `test_predictions`.
        labels: integers [n], true labels of the test split.

    Returns:
        One paragraph a line.
    """
    ranked = rank(table)
    if ranked.empty:
        return "No run finished, so there is nothing to recommend."
    labels = np.asarray(labels)
    best, correct = ranked.iloc[0], _correct(ranked.iloc[0], records, labels)
    interval = accuracy_interval(np.stack(list(correct.values())))
    rivals = f", the highest of {len(ranked)} configurations" if len(ranked) > 1 else ""
    measured = (
        f"Its mean accuracy on the validation images is {best['validation_accuracy']:.3f}{rivals}. "
        f"On the test images it is {interval} (95 % interval, {_count(len(correct), 'seed')}, "
        f"{_count(len(labels), 'image')})"
    )
    headline = f"Take {_name(best)}."
    compared = "Nothing else was run, so there is nothing to compare it with."
    if len(ranked) > 1:
        headline, compared = _compare(best, ranked.iloc[1], correct, records, labels)
    guess = np.bincount(labels).max() / len(labels)
    if interval.low > guess:
        measured += f"; always answering the most frequent class would score {guess:.3f}."
    else:
        headline = f"Do not rely on any of these yet; {_name(best)} came first."
        measured += (
            ". That is not shown to be better than always answering the most frequent class, which "
            f"scores {guess:.3f}: more labels, more epochs or another backbone are needed."
        )
    paragraphs = [headline, measured, compared]
    if len(correct) == 1:
        paragraphs.append(
            "It was run from one seed only: how much the accuracy changes from seed to seed is "
            "unknown, and the interval is about images alone. Three seeds would tell more."
        )
    return "\n".join(paragraphs + _failures(table))


def _compare(
    best: pd.Series,
    second: pd.Series,
    correct: dict[int, np.ndarray],
    records: "Sequence[Record]",
    labels: np.ndarray,
) -> tuple[str, str]:
    """What to take, and how the best stands against the runner-up."""
    other = _correct(second, records, labels)
    take = f"Take {_name(best)}"
    text = f"Runner-up on validation is {_name(second)}, test accuracy {_mean(other):.3f}."
    seeds = sorted(correct.keys() & other.keys())
    if not seeds:
        apart = "The two share no seed, so they are not compared image by image."
        return f"{take}.", f"{text} {apart}"
    first, runner_up = (np.stack([rows[seed] for seed in seeds]) for rows in (correct, other))
    gain = paired_difference(first, runner_up)
    text += f" On {_count(gain.images, 'test image')} and {_count(gain.seeds, 'seed')} the"
    if gain.p_value >= SURE_BELOW or gain.low <= 0 <= gain.high:
        cheaper, costs = _cheaper(best, second)
        text += f" two cannot be told apart (difference {gain}). {costs}"
        if cheaper is second:
            return f"{take}, or {_name(second)}, cheaper and for all we know as good.", text
        return f"{take}.", text
    if gain.difference < 0:
        text += (
            f" runner-up is better by {_size(gain)}, although validation preferred the first. Do "
            "not decide by the test images; more validation images would settle it."
        )
        return f"{take}, but between it and the runner-up the choice is not settled.", text
    of_what = "these two trained models" if gain.seeds == 1 else "the two"
    text += f" first of {of_what} is better by {_size(gain)}: {_sureness(gain)}."
    return f"{take}.", text


def _sureness(gain: PairedDifference) -> str:
    images = "other images" if gain.seeds == 1 else "other images and other seeds"
    if gain.p_value < 0.005:
        return f"{images} are very unlikely to reverse this"
    return f"{images} are unlikely to reverse this, but it is not beyond doubt"


def _cheaper(best: pd.Series, second: pd.Series) -> tuple[pd.Series | None, str]:
    """Which of two costs less, first in trained weights, then in time; and a sentence of it."""
    weights = second["trainable_parameters"] / max(1, best["trainable_parameters"])
    time = second["seconds"] / max(1e-9, best["seconds"])
    if 0.95 < weights < 1.05 and 0.9 < time < 1.1:
        return None, "They cost the same, so the validation images decide."
    cheap = best if weights >= 1.05 or (weights > 0.95 and time > 1) else second
    if cheap is second:
        weights, time = 1 / weights, 1 / time
    gains = [
        _times(weights, "fewer trained parameters", "more trained parameters"),
        _times(time, "faster to train", "slower to train"),
    ]
    said = " and ".join(gain for gain in gains if gain)
    return cheap, f"The cheaper one is {_name(cheap)}: {said}."


def _times(ratio: float, better: str, worse: str) -> str:
    factor = max(ratio, 1 / ratio)
    if factor < 1.05:
        return ""
    return f"{factor:.{0 if factor >= 9.5 else 1}f} times {better if ratio > 1 else worse}"


def _failures(table: pd.DataFrame) -> list[str]:
    failed = table[table["validation_accuracy"].isna()]
    if failed.empty:
        return []
    names = [
        f"{_name(runs.iloc[0])} ({'seed' if len(runs) == 1 else 'seeds'} "
        f"{', '.join(str(seed) for seed in runs['seed'])})"
        for _, runs in failed.groupby(["backbone", "strategy"], sort=False)
    ]
    return [f"{len(failed)} of {len(table)} runs failed and are left out: {'; '.join(names)}."]


def _correct(
    configuration: pd.Series, records: "Sequence[Record]", labels: np.ndarray
) -> dict[int, np.ndarray]:
    """Seed -> which test images its run got right."""
    runs = _runs_of(configuration, records)
    for record in runs:
        if len(record.test_predictions) != len(labels):
            raise InputError(
                f"labels has {len(labels)} entries, but the runs predicted "
                f"{len(record.test_predictions)} test images; give the labels of that split"
            )
    return {record.seed: record.test_predictions.argmax(axis=1) == labels for record in runs}


def _runs_of(configuration: pd.Series, records: "Sequence[Record]") -> "list[Record]":
    key = (configuration["backbone"], configuration["strategy"])
    runs = [record for record in records if (record.backbone, record.strategy) == key]
    if not runs:
        raise InputError(f"records has no run of {_name(configuration)}, which table ranks")
    return runs


def _mean(correct: dict[int, np.ndarray]) -> float:
    return float(np.mean(list(correct.values())))


def _size(gain: PairedDifference) -> str:
    low, high = sorted([abs(gain.low), abs(gain.high)])
    p = "p < 0.001" if gain.p_value < 0.001 else f"p = {gain.p_value:.2g}"
    return f"{abs(gain.difference):.3f} [{low:.3f}, {high:.3f}], {p}"


def _name(configuration: pd.Series) -> str:
    return f"{configuration['strategy']} on {configuration['backbone']}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
