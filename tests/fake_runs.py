"""Runs as `fit` leaves them, made up without training, for tests of figures and reports."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from tlkit.comparison import results_table
from tlkit.dataset import Dataset, Split
from tlkit.evaluation import classification_metrics
from tlkit.recommendation import best_record, recommend
from tlkit.strategies import STRATEGIES, allot_epochs

SIZES = {"block1": 900, "block2": 9_000, "block3": 60_000, "block4": 180_000, "block5": 330_000}
SKILL = {
    "scratch": 0.2,
    "feature_extraction": 1.6,
    "partial": 2.6,
    "full": 2.7,
    "gradual": 2.5,
    "discriminative": 2.6,
    "lp_ft": 2.65,
    "first_stage": 1.8,
}


def fake_dataset(class_names, images=120, size=16, skipped=()):
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % len(class_names)
        tint = rng.integers(30, 226, (len(class_names), 1, 1, 3))[labels]
        noise = rng.integers(-60, 61, (count, size, size, 3))
        pixels = np.clip(tint + noise, 0, 255).astype(np.uint8)
        return Split(pixels, labels.astype(np.int64), tuple(f"{i}.png" for i in range(count)))

    return Dataset(
        name="fake images",
        class_names=tuple(class_names),
        train=split(images),
        validation=split(images),
        test=split(images),
        skipped=tuple(skipped),
        description="Random images, made for tests.",
    )


def fake_record(dataset, backbone, strategy, seed, epochs=10, skill=None):
    """A run whose predictions are as good as the strategy's skill (in nats) makes them."""
    rng = np.random.default_rng([seed, len(backbone), *map(ord, strategy)])
    skill = (SKILL[strategy] if skill is None else skill) + 0.1 * rng.normal()

    def predict(split, at):
        hard = np.random.default_rng(1).normal(size=(len(split), 1)) + 1
        logits = rng.normal(size=(len(split), len(dataset.class_names)))
        logits[np.arange(len(split)), split.labels] += at * hard[:, 0]
        logits = 1.5 * logits
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

    history: dict[str, list] = {
        key: [] for key in ("loss", "accuracy", "val_loss", "val_accuracy", "phase")
    }
    phases = [
        p for p, (_, n) in enumerate(allot_epochs(STRATEGIES[strategy], epochs)) for _ in range(n)
    ]
    for epoch, phase in enumerate(phases):
        learned = 1 - np.exp(-(epoch + 1) / 3)
        for prefix, split, extra in (("", dataset.train, 1), ("val_", dataset.validation, 0)):
            odds = predict(split, skill * learned + extra)
            right = odds[np.arange(len(split)), split.labels]
            history[f"{prefix}accuracy"].append(float(np.mean(odds.argmax(1) == split.labels)))
            history[f"{prefix}loss"].append(float(-np.log(right + 1e-7).mean()))
        history["phase"].append(phase)
    best = int(np.argmax(history["val_accuracy"])) + 1
    table: list[dict[str, Any]] = [
        {
            "stage": stage,
            "layers": 4,
            "parameters": count,
            "trainable": int(0.97 * count) if stage in STRATEGIES[strategy].trained else 0,
            "batchnorm": "update" if strategy == "scratch" else "inference",
        }
        for stage, count in SIZES.items()
    ]
    head = 97 * len(dataset.class_names)
    table.append(
        {"stage": "head", "layers": 1, "parameters": head, "trainable": head, "batchnorm": "none"}
    )
    validation, test = predict(dataset.validation, skill), predict(dataset.test, skill)
    trained = sum(row["trainable"] for row in table)
    return SimpleNamespace(
        dataset=dataset.name,
        backbone=backbone,
        strategy=strategy,
        seed=seed,
        history=history,
        validation_metrics=classification_metrics(dataset.validation.labels, validation),
        metrics=classification_metrics(dataset.test.labels, test),
        seconds=(2 + trained / 4e4) * (1 + len(backbone) / 20) * rng.uniform(0.95, 1.05),
        trainable_parameters=trained,
        total_parameters=sum(row["parameters"] for row in table),
        best_epoch=best,
        epochs=len(phases),
        validation_predictions=validation,
        test_predictions=test,
        trainable_table=table,
        settings={"epochs": epochs, "batch_size": 32, "until": None, "keras": "3"},
    )


def fake_comparison(dataset, backbones, strategies, seeds, folder=None, epochs=10):
    records = [
        fake_record(dataset, backbone, strategy, seed, epochs)
        for backbone in backbones
        for strategy in strategies
        for seed in range(seeds)
    ]
    table = results_table(records)
    return SimpleNamespace(
        dataset_summary={"name": dataset.name},
        table=table,
        records=records,
        folder=folder,
        recommendation=recommend(table, records, dataset.test.labels),
        best=best_record(table, records),
    )
