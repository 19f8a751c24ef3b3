"""What training one model leaves behind."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import keras
import numpy as np

from tlkit.backbones import load_backbone
from tlkit.classifier import build_classifier
from tlkit.freezing import set_trained


@dataclass(kw_only=True)
class Record:
    """What a run leaves behind besides its model.

    Attributes:
        dataset: name of the data set.
        backbone: name of the backbone.
        strategy: name of the strategy.
        seed: of initial weights and order of the images.
        history: per epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, and `phase` from 0.
        validation_metrics: of the best epoch on the validation split.
        metrics: of the best epoch on the test split.
        seconds: of training, validation after each epoch included, preparation (building, tracing,
            the frozen part's outputs) left out.
        trainable_parameters: changed by gradient in some phase.
        total_parameters: of backbone and head.
        best_epoch: counted from 1: highest validation accuracy, lowest validation loss on a tie.
        epochs: epochs that were run.
        validation_predictions: probabilities, float32 [n, classes].
        test_predictions: likewise.
        trainable_table: rows of `trainable_report` over all phases.
        settings: every argument that decides the result, and versions.
        engine: how it was computed: `frozen_part`, for each phase the layers whose outputs were
            kept on disk; `feature_seconds`, what computing or finding those took; `precision` of
            the frozen part, with what was measured to choose it.
    """

    dataset: str
    backbone: str
    strategy: str
    seed: int
    history: dict[str, list[float]]
    validation_metrics: dict[str, float]
    metrics: dict[str, float]
    seconds: float
    trainable_parameters: int
    total_parameters: int
    best_epoch: int
    epochs: int
    validation_predictions: np.ndarray
    test_predictions: np.ndarray
    trainable_table: list[dict[str, Any]]
    settings: dict[str, Any]
    engine: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Run(Record):
    """A record, and the trained weights.

    Attributes:
        weights: of the classifier at the best epoch.
        input_shape: (height, width, 3) of the backbone.
        image_shape: (height, width, 3) of the images.
    """

    weights: list[np.ndarray] = field(repr=False)
    input_shape: tuple[int, int, int]
    image_shape: tuple[int, int, int]

    @cached_property
    def model(self) -> keras.Model:
        """The trained model: pixel values 0 to 255 [n, h, w, 3] -> probabilities [n, classes].

        It is built when it is first asked for, frozen and compiled as it was trained.
        """
        network = load_backbone(self.backbone, weights=None, input_shape=self.input_shape)
        classes = self.test_predictions.shape[1]
        model = build_classifier(network, classes, self.image_shape)
        model.set_weights(self.weights)
        trained = [row["stage"] for row in self.trainable_table if row["trainable"]]
        set_trained(model, trained, batchnorm=self.settings["batchnorm"])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def record(self) -> Record:
        """Return the record without the weights."""
        return Record(**{f.name: getattr(self, f.name) for f in fields(Record)})
