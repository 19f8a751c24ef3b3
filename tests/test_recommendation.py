from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tlkit.errors import InputError
from tlkit.recommendation import best_record, rank, recommend

LABELS = np.arange(300) % 4


def runs(strategy, right, *, seeds=3, validation=0.5, parameters=1000, seconds=10.0, shift=0):
    """Records that get the share `right` of the images right, the same ones from every seed."""
    records = []
    for seed in range(seeds):
        correct = (np.arange(300) * 7 + shift) % 300 < right * 300
        predicted = np.where(correct, LABELS, (LABELS + 1) % 4)
        records.append(
            SimpleNamespace(
                backbone="mini_resnet",
                strategy=strategy,
                seed=seed,
                validation_metrics={"accuracy": validation + 0.001 * seed},
                metrics={"accuracy": float(correct.mean())},
                test_predictions=np.eye(4, dtype=np.float32)[predicted],
                trainable_parameters=parameters,
                seconds=seconds,
            )
        )
    return records


def table_of(records):
    return pd.DataFrame(
        {
            "backbone": record.backbone,
            "strategy": record.strategy,
            "seed": record.seed,
            "validation_accuracy": record.validation_metrics["accuracy"],
            "test_accuracy": record.metrics["accuracy"],
            "trainable_parameters": record.trainable_parameters,
            "seconds": record.seconds,
        }
        for record in records
    )


def said(*groups):
    records = [record for group in groups for record in group]
    return recommend(table_of(records), records, LABELS)


def test_the_choice_is_made_on_validation_not_on_test():
    records = [*runs("full", 0.9, validation=0.6), *runs("partial", 0.5, validation=0.7)]
    table = table_of(records)
    assert rank(table)["strategy"].tolist() == ["partial", "full"]
    best = best_record(table, records)
    assert (best.strategy, best.seed) == ("partial", 2)
    text = recommend(table, records, LABELS)
    assert text.startswith("Take partial on mini_resnet, but")
    assert "runner-up is better by 0.400" in text
    assert "more validation images" in text


def test_of_equals_the_cheaper_ranks_first():
    records = [*runs("full", 0.8, parameters=9), *runs("partial", 0.8, parameters=5)]
    assert rank(table_of(records))["strategy"].tolist() == ["partial", "full"]


def test_a_clear_winner_is_called_one():
    text = said(runs("full", 0.9, validation=0.8), runs("scratch", 0.4, validation=0.3))
    assert text.startswith("Take full on mini_resnet.\n")
    assert "the highest of 2 configurations" in text
    assert "0.900 [" in text
    assert "3 seeds, 300 images" in text
    assert "better by 0.500 [" in text
    assert "p < 0.001" in text
    assert "very unlikely" in text


def test_what_cannot_be_told_apart_goes_by_cost():
    full = runs("full", 0.8, validation=0.81, parameters=600_000, seconds=60)
    partial = runs("partial", 0.8, validation=0.80, parameters=50_000, seconds=20, shift=9)
    text = said(full, partial)
    assert text.startswith("Take full on mini_resnet, or partial on mini_resnet, cheaper")
    assert "cannot be told apart" in text
    assert "partial on mini_resnet: 12 times fewer trained parameters and 3.0 times faster" in text
    other_way = said(runs("full", 0.8, validation=0.7, parameters=600_000, seconds=5), partial)
    assert other_way.startswith("Take partial on mini_resnet.\n")
    assert "fewer trained parameters and 4.0 times slower to train" in other_way
    same = said(full, runs("lp_ft", 0.8, parameters=600_000, seconds=62, shift=9))
    assert "They cost the same" in same


def test_one_configuration_has_nothing_to_be_compared_with():
    text = said(runs("full", 0.8))
    assert "Nothing else was run" in text
    assert "configurations" not in text


def test_one_seed_is_said_to_tell_nothing_of_seeds():
    text = said(runs("full", 0.9, seeds=1, validation=0.6), runs("scratch", 0.4, seeds=1))
    assert "1 seed, 300 images" in text
    assert "these two trained models" in text
    assert "from seed to seed is unknown" in text


def test_no_better_than_guessing_is_said_first():
    text = said(runs("full", 0.27), runs("scratch", 0.25, validation=0.2))
    assert text.startswith("Do not rely on any of these yet")
    assert "always answering the most frequent class, which scores 0.250" in text


def test_runs_that_failed_are_left_out_and_counted():
    records = runs("full", 0.8)
    failed = table_of(runs("scratch", 0.5)[:2]).assign(validation_accuracy=np.nan)
    table = pd.concat([table_of(records), failed], ignore_index=True)
    text = recommend(table, records, LABELS)
    assert "2 of 5 runs failed and are left out: scratch on mini_resnet (seeds 0, 1)." in text
    assert "nothing to recommend" in recommend(failed, [], LABELS)
    with pytest.raises(InputError, match="no finished run"):
        best_record(failed, [])


def test_only_shared_seeds_are_compared():
    second = runs("partial", 0.5, validation=0.4)
    text = said(runs("full", 0.9, seeds=2, validation=0.8), second)
    assert "300 test images and 2 seeds" in text
    for record in second:
        record.seed += 10
    assert "share no seed" in said(runs("full", 0.9, seeds=2, validation=0.8), second)


def test_labels_of_another_split_are_refused():
    records = runs("full", 0.8)
    with pytest.raises(InputError, match="labels has 7 entries"):
        recommend(table_of(records), records, LABELS[:7])
