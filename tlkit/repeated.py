"""Trains one small Keras model from several seeds, and traces it once for all of them."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from tlkit.augmentation import as_augmentation
from tlkit.batches import Batches
from tlkit.classifier import Trainer
from tlkit.dataset import SPLIT_NAMES, Dataset
from tlkit.epochs import validation_logs
from tlkit.errors import InputError
from tlkit.initial import draw_weights

PREDICTED_AT_ONCE = 512  # images


def train_repeatedly(
    model: keras.Model,
    dataset: Dataset,
    *,
    epochs: int,
    seeds: Sequence[int] = (0, 1, 2),
    batch_size: int = 32,
    steps_per_epoch: int | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    augmentation: str | Sequence[str] | Callable | None = None,
    measure: Callable[[keras.Model], dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """Train a model from scratch once for each seed.

    A seed decides the initial weights, the order of the images, their augmentation and what
    Dropout drops. Nothing is selected: a row describes the weights after the last epoch.

    Args:
        model: sequential or functional, with no models in it: what the dataset's images hold ->
            probabilities [n, classes]. It is compiled here, and keeps the last seed's weights.
        dataset: images and labels.
        epochs: epochs for each seed.
        seeds: whole numbers of at least 0.
        batch_size: images a step.
        steps_per_epoch: None for one pass over the training images.
        optimizer: of Keras, not used before; Adam at 0.001 by default.
        augmentation: of the training images, as in `tlkit.fit`.
        measure: called with the trained model after each seed; what it returns joins the row.

    Returns:
        One row a seed: seed; train_loss (nats), train_accuracy, validation_accuracy,
        test_accuracy, of the plain images in inference mode; gap, which is train_accuracy minus
        test_accuracy; seconds of training; history, a dict of loss, accuracy, val_loss and
        val_accuracy by epoch; and what `measure` returned.

    Raises:
        InputError: an argument is not one of the above.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", size=8, train_per_class=20)
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255),
        ...                           keras.layers.Flatten(),
        ...                           keras.layers.Dense(10, activation="softmax")])
        >>> table = train_repeatedly(model, digits, epochs=20)
        >>> len(table), bool((table["test_accuracy"] > 0.6).all())
        (3, True)
    """
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}: give a whole number of at least 1")
    if not len(seeds) or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise InputError(f"seeds={seeds!r}: give whole numbers of at least 0")
    trainer = Trainer(model, (), optimizer or keras.optimizers.Adam())
    rate = float(trainer.model.optimizer.learning_rate)
    start = keras.models.clone_model(model).get_weights()  # biases and the like as they begin
    trainer.trace([dataset.train.images], dataset.train.labels, batch_size)
    rows = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model.set_weights(start)
        _reseed(draw_weights(model, seed), seed)
        trainer.restart(rate)
        augment = as_augmentation(augmentation, dataset.train.images.shape[1:], [seed, 0])
        batches = Batches(
            dataset.train.images,
            dataset.train.labels,
            batch_size,
            seed=seed,
            steps=steps_per_epoch,
            augment=augment,
        )
        note = _Curves(dataset)
        began = time.perf_counter()
        model.fit(batches, epochs=epochs, shuffle=False, callbacks=[note], verbose=0)
        row: dict[str, Any] = {"seed": seed, **_accuracies(model, dataset)}
        row |= {"seconds": time.perf_counter() - began, "history": note.curves}
        rows.append(row | (measure(model) if measure else {}))
    return pd.DataFrame(rows)


class _Curves(keras.callbacks.Callback):
    """Validates after each epoch and keeps the curves."""

    def __init__(self, dataset: Dataset):
        super().__init__()
        self.split = dataset.validation
        self.curves: dict[str, list[float]] = {
            key: [] for key in ("loss", "accuracy", "val_loss", "val_accuracy")
        }

    def on_epoch_end(self, epoch, logs=None):
        predictions = self.model.predict_on_batch(self.split.images)
        logs = {**logs, **validation_logs(self.split.labels, predictions)}
        for key, values in self.curves.items():
            values.append(float(logs[key]))


def _accuracies(model: keras.Model, dataset: Dataset) -> dict[str, float]:
    row = {}
    for name in SPLIT_NAMES:
        split = getattr(dataset, name)
        parts = [
            model.predict_on_batch(split.images[i : i + PREDICTED_AT_ONCE])
            for i in range(0, len(split), PREDICTED_AT_ONCE)
        ]
        logs = validation_logs(split.labels, np.concatenate(parts))
        if name == "train":
            row["train_loss"] = logs["val_loss"]
        row[f"{name}_accuracy"] = logs["val_accuracy"]
    return row | {"gap": row["train_accuracy"] - row["test_accuracy"]}


def _reseed(model: keras.Model, seed: int) -> None:
    """Let every random layer, Dropout for one, start from `seed` again."""
    for position, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            words = np.random.SeedSequence([seed, position]).generate_state(1)[0]
            generator.state.assign(np.array([words, 0], dtype=generator.state.dtype))
