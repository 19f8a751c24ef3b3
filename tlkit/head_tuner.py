"""Trains a head on features, and lets KerasTuner draw its settings."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from tlkit import training
from tlkit.batches import Batches
from tlkit.classifier import Trainer
from tlkit.dataset import Dataset
from tlkit.epochs import BestEpoch, validation_logs
from tlkit.initial import head_weights

LEARNING_RATES = (1e-4, 1e-1)  # bounds; drawn evenly on a logarithmic scale
WEIGHT_DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
PATIENCE = 10  # as in `fit`, so that a trial is the run that `fit` would do


class TunableHead:
    """The head of a classifier on features, compiled once for all settings and seeds.

    Keras reads an optimiser's weight decay when it traces a step; here it is a variable, so that a
    new one needs no new trace. The learning rate is a variable already.
    """

    def __init__(
        self, features: Mapping[str, np.ndarray], dataset: Dataset, epochs: int, batch_size: int
    ):
        """Build a dense softmax layer for `features`, and trace its training."""
        self.features, self.dataset = features, dataset
        self.epochs, self.batch_size = epochs, batch_size
        rows = len(dataset.train)
        self.steps = max(training.LEAST_STEPS, -(-rows // batch_size))
        inputs = keras.Input(features["train"].shape[1:], name="pooled")
        layer = keras.layers.Dense(dataset.num_classes, activation="softmax", name="classes")
        self.decay = tf.Variable(0.0, trainable=False)
        optimizer = keras.optimizers.Adam(weight_decay=self.decay)
        self.trainer = Trainer(keras.Model(inputs, layer(inputs)), (), optimizer)
        self.trainer.trace([features["train"]], dataset.train.labels, batch_size)

    def train(
        self,
        learning_rate: float,
        weight_decay: float,
        seed: int,
        on_epoch: Callable[[int, dict], None] | None = None,
    ) -> BestEpoch:
        """Train from new weights, in an order that `seed` decides, and return the best epoch."""
        self.trainer.restart(learning_rate)
        self.decay.assign(weight_decay)
        model, train, validation = self.trainer.model, self.dataset.train, self.dataset.validation
        width = self.features["train"].shape[-1]
        model.set_weights(head_weights(width, self.dataset.num_classes, seed))
        batches = Batches(
            self.features["train"], train.labels, self.batch_size, seed=[seed, 0], steps=self.steps
        )
        best = BestEpoch(validation.labels, PATIENCE, on_epoch)
        best.start_phase(0, lambda: model.predict_on_batch(self.features["validation"]))
        model.fit(batches, epochs=self.epochs, shuffle=False, callbacks=[best], verbose=0)
        return best

    def test_predictions(self, learning_rate: float, weight_decay: float, seed: int) -> np.ndarray:
        """Train, and return the probabilities of the test images at the best epoch.

        Returns:
            float32 [n, classes].
        """
        weights = self.train(learning_rate, weight_decay, seed).weights
        self.trainer.model.set_weights(weights)
        return self.trainer.model.predict_on_batch(self.features["test"])


class HeadTuner(keras_tuner.RandomSearch):
    """KerasTuner's random search, in which a trial is a setting trained from several seeds."""

    def __init__(
        self,
        head: TunableHead,
        seeds: Sequence[int],
        trials: int,
        folder: Path,
        on_progress: Callable[[float], None],
    ):
        """Draw `trials` settings, less those which `folder` holds already.

        `on_progress` is called after each epoch with the number of trials so far, in fractions.
        """
        self.head, self.seeds, self.on_progress = head, seeds, on_progress
        space = keras_tuner.HyperParameters()
        low, high = LEARNING_RATES
        space.Float("learning_rate", low, high, sampling="log")
        space.Choice("weight_decay", list(WEIGHT_DECAYS))
        # KerasTuner takes 0 for "no seed", and counts up from its seed: 1 would repeat most of 0.
        own = int(np.random.SeedSequence(seeds[0]).generate_state(1)[0])
        super().__init__(
            objective=keras_tuner.Objective("validation_accuracy", "max"),
            max_trials=trials,
            seed=own,
            hyperparameters=space,
            tune_new_entries=False,
            allow_new_entries=False,
            directory=str(folder),
            project_name="tuner",
            overwrite=False,
        )

    def reload(self):
        """Go on from the files; a trial that never was in the account is drawn again."""
        super().reload()
        trials = self.oracle.trials
        for name in set(trials) - set(self.oracle.start_order):
            del trials[name]

    def run_trial(self, trial, **_):
        """Train a setting from every seed and return its means."""
        try:
            return self._measure(int(trial.trial_id), trial.hyperparameters.values)
        except Exception as error:  # KerasTuner would count it as a bad setting and go on
            raise keras_tuner.errors.FatalRuntimeError(
                f"trial {trial.hyperparameters.values}: {error}"
            ) from error

    def _measure(self, before: int, values: dict[str, float]) -> dict[str, float]:
        start, epochs = time.perf_counter(), len(self.seeds) * self.head.epochs
        logs = []
        for position, seed in enumerate(self.seeds):

            def on_epoch(epoch: int, _, done: int = position * self.head.epochs) -> None:
                self.on_progress(before + (done + epoch) / epochs)

            best = self.head.train(**values, seed=seed, on_epoch=on_epoch)
            logs.append(validation_logs(self.head.dataset.validation.labels, best.predictions))
        self.on_progress(before + 1)
        accuracy = np.array([log["val_accuracy"] for log in logs])
        measured = {
            "validation_accuracy": float(accuracy.mean()),
            "validation_loss": float(np.mean([log["val_loss"] for log in logs])),
            "seconds": time.perf_counter() - start,
        }
        return measured | ({"spread": float(accuracy.std(ddof=1))} if len(logs) > 1 else {})
