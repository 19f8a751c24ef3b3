"""A frozen backbone's features, and the probe: logistic regression on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tlkit import training
from tlkit.backbones import Backbone, load_backbone
from tlkit.classifier import shared_classifier
from tlkit.dataset import SPLIT_NAMES, Dataset
from tlkit.epochs import validation_logs
from tlkit.errors import InputError
from tlkit.evaluation import (
    classification_metrics,
)
from tlkit.prefix import Pixels
from tlkit.prefix import features as outputs_of_frozen_part

INVERSE_PENALTIES = tuple(10.0**power for power in range(-5, 3))  # C of the probe
MOST_ITERATIONS = 5_000  # the probe was seen to need up to 50


@dataclass(frozen=True)
class Probe:
    """Logistic regression on a frozen backbone's features: what a head must beat.

    Attributes:
        C: inverse strength of the L2 penalty, the one of `INVERSE_PENALTIES` with the highest
            validation accuracy; of equals, the one with the lowest loss.
        validation_metrics: see `tlkit.evaluation.classification_metrics`. C was chosen by these.
        metrics: of the test split.
        validation_predictions: probabilities, float64 [n, classes].
        test_predictions: likewise.
    """

    C: float
    validation_metrics: dict[str, float]
    metrics: dict[str, float]
    validation_predictions: np.ndarray = field(repr=False)
    test_predictions: np.ndarray = field(repr=False)


def pooled_features(
    dataset: Dataset, backbone: str | Backbone, *, input_size: int | None = None
) -> dict[str, np.ndarray]:
    """Compute what a frozen backbone makes of every image, or find it on disk.

    Args:
        dataset: as `load_dataset` returns it.
        backbone: a name of `list_backbones()`, with its pretrained weights; or a `Backbone`.
        input_size: side in pixels to which images are resized, for a backbone given by name; None
            for the size that it was pretrained on.

    Returns:
        For "train", "validation" and "test" the outputs of its last layer, averaged over positions:
        float32 [n, features], memory-mapped and read-only.

    Raises:
        InputError: an argument is not one of the above.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=1)
        >>> pooled_features(digits, "mini_vgg")["train"].shape
        (10, 128)
    """
    network = network_of(backbone, input_size)
    image_shape = tuple(dataset.train.images.shape[1:])
    architecture = (network.name, network.input_shape, image_shape, dataset.num_classes)
    with training._one_at_a_time:
        shared = shared_classifier(*architecture)
        head = shared.model.get_weights()[-2:]
        shared.model.set_weights(network.model.get_weights() + head)
        cut = shared.trainer(("head",), "frozen").cut
        return {
            name: outputs_of_frozen_part(shared, cut, Pixels(getattr(dataset, name).images))[0]
            for name in SPLIT_NAMES
        }


def probe(features: Mapping[str, np.ndarray], dataset: Dataset) -> Probe:
    """Fit multinomial logistic regression, and choose its penalty on the validation split.

    Features are standardised by the training images. Nothing here is random. If the optimiser
    stops before it has converged, scikit-learn warns.

    Args:
        features: "train", "validation" and "test", float [n, features], as `pooled_features`
            returns them.
        dataset: the labels.

    Returns:
        A `Probe`.

    Raises:
        InputError: the training images have one class only, or features and labels do not have
            the same length.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=5)
        >>> raw = {s: getattr(digits, s).images[:, ::8, ::8, 0].reshape(-1, 64) / 255
        ...        for s in ("train", "validation", "test")}
        >>> probe(raw, digits).metrics["accuracy"] > 0.7
        True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    check_labels(features, dataset)
    labels = {name: getattr(dataset, name).labels for name in SPLIT_NAMES}

    def probabilities(model, rows: np.ndarray) -> np.ndarray:
        """Give a column to classes of which there is no training image, too."""
        columns = np.zeros((len(rows), dataset.num_classes))
        columns[:, model.classes_] = model.predict_proba(rows)
        return columns

    def score(model, rows: np.ndarray, true: np.ndarray) -> dict[str, float]:
        logs = validation_logs(true, probabilities(model, rows))
        return {"accuracy": logs["val_accuracy"], "negative_loss": -logs["val_loss"]}

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_ITERATIONS))
    held_out = PredefinedSplit(
        np.repeat([-1, 0], [len(labels["train"]), len(labels["validation"])])
    )
    search = GridSearchCV(
        model,
        {"logisticregression__C": list(INVERSE_PENALTIES)},
        scoring=score,
        cv=held_out,
        refit=False,  # with validation images in the fit, their accuracy would mean nothing
        error_score="raise",
    )
    search.fit(
        np.concatenate([features["train"], features["validation"]]),
        np.concatenate([labels["train"], labels["validation"]]),
    )
    found = pd.DataFrame(search.cv_results_)
    order = ["mean_test_accuracy", "mean_test_negative_loss"]  # scikit-learn's word for held out
    chosen = found.sort_values(order, ascending=False, kind="stable").iloc[0]
    model.set_params(**chosen["params"]).fit(features["train"], labels["train"])
    validation, test = (probabilities(model, features[name]) for name in SPLIT_NAMES[1:])
    return Probe(
        C=chosen["params"]["logisticregression__C"],
        validation_metrics=classification_metrics(labels["validation"], validation),
        metrics=classification_metrics(labels["test"], test),
        validation_predictions=validation,
        test_predictions=test,
    )


def network_of(backbone: str | Backbone, input_size: int | None) -> Backbone:
    """Return the backbone that a name means, with its weights, or the one that is given."""
    if isinstance(backbone, Backbone):
        if input_size is not None:
            raise InputError(
                f"input_size={input_size!r} goes with a backbone's name; this Backbone takes "
                f"{backbone.input_shape}"
            )
        return backbone
    shape = None if input_size is None else (input_size, input_size, 3)
    return load_backbone(backbone, input_shape=shape)


def check_labels(features: Mapping[str, np.ndarray], dataset: Dataset) -> None:
    """Raise InputError unless there are labels for all features, of two classes or more."""
    for name in SPLIT_NAMES:
        split = getattr(dataset, name)
        if not len(split) or len(features[name]) != len(split):
            raise InputError(
                f"features[{name!r}] has {len(features[name])} rows and the split "
                f"{len(split)} labels; give as many of each, and at least one"
            )
    if len(np.unique(dataset.train.labels)) < 2:
        raise InputError(f"dataset={dataset.name!r}: its training images are all of one class")
