"""Trains one backbone by one strategy on one data set from one seed: `fit` -> `Run`."""

import platform
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

import keras
import numpy as np

from tlkit.backbones import Backbone, load_backbone
from tlkit.classifier import shared_classifier
from tlkit.dataset import Dataset
from tlkit.engine import Engine
from tlkit.epochs import BestEpoch
from tlkit.errors import InputError
from tlkit.evaluation import classification_metrics
from tlkit.freezing import assert_only_trained, set_trained, trainable_report, weight_snapshot
from tlkit.initial import head_weights
from tlkit.mini import MINI
from tlkit.precision import PRECISIONS
from tlkit.runs import Run
from tlkit.strategies import Phase, Strategy, allot_epochs, get_strategy

HEAD_RATE = 1e-2
MINI_RATE = 1e-3  # for the embedded family, whose weights have been trained briefly
FULL_SIZE_RATE = 1e-4  # for ImageNet weights, which a higher rate would undo
LEAST_STEPS = 20  # an epoch of fewer steps would be over before anything is learnt

_one_at_a_time = threading.RLock()  # runs of one process share their classifier


def fit(
    dataset: Dataset,
    *,
    backbone: str | Backbone = "mini_resnet",
    strategy: str = "partial",
    epochs: int = 10,
    seed: int = 0,
    until: str | None = None,
    batchnorm: str = "frozen",
    batch_size: int = 32,
    steps_per_epoch: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
    patience: int = 10,
    input_size: int | None = None,
    augmentation: str | Sequence[str] | Callable | None = None,
    views: int | None = None,
    precision: str = "float32",
    cache: bool = True,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> Run:
    """Train a classifier, choose its best epoch on validation, and measure it on the test split.

    What is frozen runs once for each image, and its outputs are kept on disk for other seeds,
    rates, strategies and processes (`tlkit cache` shows them). Without augmentation the result is
    that of a plain Keras loop over the whole network. After every phase it is asserted that no
    weight outside the trained stages has moved.

    Args:
        dataset: as `load_dataset` returns it.
        backbone: a name of `list_backbones()`, or a `Backbone` whose weights are the start; these
            are copied, the object stays as it is.
        strategy: a key of `tlkit.strategies.STRATEGIES`.
        epochs: epochs over all phases.
        seed: of new weights and of the order of the images.
        until: for `partial`: the last frozen stage; "block4" if None.
        batchnorm: "frozen" or "update", see `tlkit.freeze`. From scratch it is always "update".
        batch_size: images a step.
        steps_per_epoch: steps an epoch; None for one pass over the training images, or as many
            passes as make 20 steps where the set is small.
        learning_rate: of Adam. None: 0.01 while only the head is trained; else 0.001 for the
            embedded family and from scratch, 0.0001 for ImageNet weights.
        weight_decay: of Adam, decoupled from the gradient (Loshchilov & Hutter 2019); 0 for none.
        patience: epochs without a better one after which a phase ends early.
        input_size: side in pixels to which images are resized inside the model; None for the size
            that the backbone was pretrained on.
        augmentation: of the training images: "all", keys of `tlkit.augmentation.AUGMENTATIONS`, a
            Keras layer, or a function of a batch. Every epoch sees new copies, so that all of the
            network runs on every batch.
        views: with `augmentation`: this many augmented copies of each image pass the frozen part
            once, and the epochs draw from them. Faster, and not the same as new copies: on
            wild_digits 1 to 7 points of accuracy were lost (benchmarks/RESULTS.md).
        precision: of the frozen part: "float32", "bfloat16", or "auto" for the faster of the two
            if their features agree (`tlkit.precision`). The trained part is always float32.
        cache: keep the outputs of the frozen part. False runs it again in every epoch.
        on_epoch: called after each epoch with its number from 1 and its logs.

    Returns:
        A `Run`.

    Raises:
        InputError: an argument is not one of the above, or does not go with another.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=1)
        >>> run = fit(digits, backbone="mini_vgg", strategy="feature_extraction", epochs=1)
        >>> run.trainable_parameters, run.test_predictions.shape
        (1290, (359, 10))
    """
    plan = get_strategy(strategy, until)
    _check_positive(epochs=epochs, batch_size=batch_size, patience=patience)
    for name, optional in {"steps_per_epoch": steps_per_epoch, "views": views}.items():
        if optional is not None:
            _check_positive(**{name: optional})
    if learning_rate is not None and not learning_rate > 0:
        raise InputError(f"learning_rate={learning_rate!r}: give a number above 0")
    if not weight_decay >= 0:
        raise InputError(f"weight_decay={weight_decay!r}: give a number of at least 0")
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r}: allowed are {', '.join(PRECISIONS)}")
    if views is not None and augmentation is None:
        raise InputError(f"views={views!r} goes with augmentation, which is None")
    if plan.weights == "random":
        batchnorm = "update"
    with _one_at_a_time:
        network, start_weights = _start(backbone, plan, input_size, dataset.num_classes, seed)
        image_shape = tuple(dataset.train.images.shape[1:])
        architecture = (network.name, network.input_shape, image_shape, dataset.num_classes)
        steps = steps_per_epoch or max(LEAST_STEPS, -(-len(dataset.train) // batch_size))
        phases = allot_epochs(plan, epochs)
        engine = Engine(
            dataset=dataset,
            shared=shared_classifier(*architecture),
            phases=[phase for phase, _ in phases],
            batchnorm=batchnorm,
            rate_decay=plan.rate_decay,
            weight_decay=weight_decay,
            batch_size=batch_size,
            steps=steps,
            seed=seed,
            augmentation=augmentation,
            views=views,
            cache=cache,
            twin=None if precision == "float32" else shared_classifier(*architecture, "bfloat16"),
            measure=precision == "auto",
        )
        shared = engine.shared.model
        shared.set_weights(start_weights)
        best = BestEpoch(dataset.validation.labels, patience, on_epoch)
        seconds = 0.0
        for number, (phase, count) in enumerate(phases):
            before = weight_snapshot(shared)
            rate = learning_rate or _default_rate(phase, plan, network)
            seconds += engine.train(number, rate, count, best)
            assert_only_trained(
                before, weight_snapshot(shared), phase.trained, batchnorm=batchnorm, all_moved=False
            )
            if best.phase == number:
                weights = engine.best_weights(number, best)
        shared.set_weights(weights)
        test_predictions = engine.test_predictions(best.phase)
        set_trained(shared, plan.trained, batchnorm=batchnorm)
        table = trainable_report(shared)
    return Run(
        dataset=dataset.name,
        backbone=network.name,
        strategy=plan.name,
        seed=seed,
        history=best.history,
        validation_metrics=classification_metrics(dataset.validation.labels, best.predictions),
        metrics=classification_metrics(dataset.test.labels, test_predictions),
        seconds=seconds,
        trainable_parameters=int(table["trainable"].sum()),
        total_parameters=shared.count_params(),
        best_epoch=best.epoch,
        epochs=len(best.history["loss"]),
        validation_predictions=best.predictions,
        test_predictions=test_predictions,
        trainable_table=table.to_dict("records"),
        settings={
            "epochs": epochs,
            "until": until,
            "batchnorm": batchnorm,
            "batch_size": batch_size,
            "steps_per_epoch": steps,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "patience": patience,
            "input_size": network.input_shape[0],
            "augmentation": _readable(augmentation),
            "views": views,
            "precision": precision,
            "weights": network.weights,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        engine=engine.facts,
        weights=weights,
        input_shape=network.input_shape,
        image_shape=image_shape,
    )


def _start(
    backbone: str | Backbone, plan: Strategy, input_size: int | None, classes: int, seed: int
) -> tuple[Backbone, list[np.ndarray]]:
    """Return the backbone, which must not be changed, and all weights that the run starts from."""
    shape = None if input_size is None else (input_size, input_size, 3)
    if isinstance(backbone, Backbone):
        network = backbone
    elif plan.weights == "random":
        network = load_backbone(backbone, weights=None, input_shape=shape, seed=seed)
    else:
        network = _pretrained(backbone, shape)
    keras.utils.set_random_seed(seed)  # nothing here draws from it, but a layer of the user's may
    head = head_weights(network.model.output.shape[-1], classes, seed)
    return network, network.model.get_weights() + head


@lru_cache(maxsize=2)
def _pretrained(backbone: str, shape: tuple[int, int, int] | None) -> Backbone:
    """Read a backbone's weights once for all runs."""
    return load_backbone(backbone, input_shape=shape)


def _default_rate(phase: Phase, plan: Strategy, network: Backbone) -> float:
    if phase.only_head:
        return HEAD_RATE
    return MINI_RATE if network.name in MINI or plan.weights == "random" else FULL_SIZE_RATE


def _readable(augmentation) -> str | list[str] | None:
    """Describe an augmentation in a form that JSON can hold."""
    if augmentation is None or isinstance(augmentation, str):
        return augmentation
    return repr(augmentation) if callable(augmentation) else list(augmentation)


def _check_positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}: give a whole number of at least 1")
