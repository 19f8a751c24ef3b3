"""Validates after each epoch, remembers the best one, and ends what no longer improves."""

from collections.abc import Callable

import keras
import numpy as np


class BestEpoch(keras.callbacks.Callback):
    """Keeps the history of all phases, and the weights of their best epoch.

    Attributes:
        history: per epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, and `phase` from 0.
        epoch: the best epoch, counted from 1: highest validation accuracy, lowest loss on a tie.
        phase: the phase that it was in.
        weights: of the trained part at the best epoch.
        predictions: for the validation images at the best epoch, float32 [n, classes].
    """

    def __init__(
        self, labels: np.ndarray, patience: int, on_epoch: Callable[[int, dict], None] | None
    ):
        """Validate against `labels`; stop a phase after `patience` epochs without a better one."""
        super().__init__()
        self.labels, self.patience, self.on_epoch = labels, patience, on_epoch
        self.history: dict[str, list[float]] = {
            key: [] for key in ("loss", "accuracy", "val_loss", "val_accuracy", "phase")
        }
        self.score, self.epoch, self.phase = (-np.inf, -np.inf), 0, -1
        self.weights: list[np.ndarray] = []
        self.predictions = np.empty((0, 0), "float32")

    def start_phase(self, number: int, predict: Callable[[], np.ndarray]) -> None:
        """Enter phase `number`; `predict` gives the probabilities of the validation images."""
        self.now, self.predict, self.stale = number, predict, 0

    def on_epoch_end(self, epoch, logs=None):
        """Note the epoch, and its weights if it is the best so far."""
        predictions = self.predict()
        logs = {**logs, **validation_logs(self.labels, predictions), "phase": self.now}
        for key, values in self.history.items():
            values.append(self.now if key == "phase" else float(logs[key]))
        finished = len(self.history["loss"])
        score = (logs["val_accuracy"], -logs["val_loss"])
        self.stale += 1
        if score > self.score or not self.weights:
            self.score, self.epoch, self.phase, self.stale = score, finished, self.now, 0
            self.weights, self.predictions = self.model.get_weights(), predictions
        if self.stale >= self.patience:
            self.model.stop_training = True
        if self.on_epoch:
            self.on_epoch(finished, logs)


def validation_logs(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Compute what Keras logs as `val_loss` and `val_accuracy`.

    Example:
        >>> logs = validation_logs(np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]]))
        >>> round(logs["val_loss"], 4), logs["val_accuracy"]
        (0.3466, 0.5)
    """
    right = probabilities[np.arange(len(labels)), labels]
    return {
        "val_loss": float(-np.log(np.clip(right, 1e-7, 1.0)).mean()),
        "val_accuracy": float((probabilities.argmax(1) == labels).mean()),
    }
