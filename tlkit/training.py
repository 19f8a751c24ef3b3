"""Trains one backbone by one strategy on one data set from one seed: `fit` -> `Run`."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

from tlkit.backbones import Backbone, load_backbone
from tlkit.batches import Batches
from tlkit.classifier import build_classifier, encoder_of, head_trainer, trainer_for
from tlkit.dataset import Dataset
from tlkit.errors import InputError
from tlkit.evaluation import classification_metrics
from tlkit.freezing import assert_only_trained, set_trained, trainable_report, weight_snapshot
from tlkit.mini import MINI
from tlkit.prefix import pooled_features
from tlkit.runs import Run
from tlkit.strategies import Phase, Strategy, allot_epochs, get_strategy

HEAD_RATE = 1e-2
MINI_RATE = 1e-3  # for the embedded family, whose weights have been trained briefly
FULL_SIZE_RATE = 1e-4  # for ImageNet weights, which a higher rate would undo
PREDICT_BATCH = 64
LEAST_STEPS = 20  # an epoch of fewer steps would be over before anything is learnt


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
    patience: int = 10,
    input_size: int | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> Run:
    """Train a classifier, choose its best epoch on validation, and measure it on the test split.

    After every phase it is asserted that no weight outside the trained stages has moved.

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
        patience: epochs without a better one after which a phase ends early.
        input_size: side in pixels to which images are resized inside the model; None for the size
            that the backbone was pretrained on.
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
    if steps_per_epoch is not None:
        _check_positive(steps_per_epoch=steps_per_epoch)
    if learning_rate is not None and not learning_rate > 0:
        raise InputError(f"learning_rate={learning_rate!r}: give a number above 0")
    if plan.weights == "random":
        batchnorm = "update"
    keras.utils.set_random_seed(seed)
    network = _start(backbone, plan, input_size)
    model = build_classifier(network, dataset.num_classes, dataset.train.images.shape[1:])
    steps = steps_per_epoch or max(LEAST_STEPS, -(-len(dataset.train) // batch_size))
    training = _Training(dataset, model, network, batchnorm, batch_size, steps, seed)
    best = BestEpoch(patience, on_epoch)
    seconds = 0.0
    for number, (phase, count) in enumerate(allot_epochs(plan, epochs)):
        set_trained(model, phase.trained, batchnorm=batchnorm)
        before = weight_snapshot(model)
        rate = learning_rate or _default_rate(phase, plan, network)
        seconds += training.run_phase(number, phase, count, rate, plan.rate_decay, best)
        assert_only_trained(
            before, weight_snapshot(model), phase.trained, batchnorm=batchnorm, all_moved=False
        )
    model.set_weights(best.weights)
    set_trained(model, plan.trained, batchnorm=batchnorm)
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    table = trainable_report(model)
    validation, test = (training.predict(s.images) for s in (dataset.validation, dataset.test))
    return Run(
        dataset=dataset.name,
        backbone=network.name,
        strategy=plan.name,
        seed=seed,
        history=best.history,
        validation_metrics=classification_metrics(dataset.validation.labels, validation),
        metrics=classification_metrics(dataset.test.labels, test),
        seconds=seconds,
        trainable_parameters=int(table["trainable"].sum()),
        total_parameters=model.count_params(),
        best_epoch=best.epoch,
        epochs=len(best.history["loss"]),
        validation_predictions=validation,
        test_predictions=test,
        trainable_table=table.to_dict("records"),
        settings={
            "epochs": epochs,
            "until": until,
            "batchnorm": batchnorm,
            "batch_size": batch_size,
            "steps_per_epoch": steps,
            "learning_rate": learning_rate,
            "patience": patience,
            "input_size": network.input_shape[0],
            "weights": network.weights,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        model=model,
    )


class BestEpoch(keras.callbacks.Callback):
    """Keeps the history and the weights of the best epoch over all phases; ends a stale phase."""

    def __init__(self, patience: int, on_epoch: Callable[[int, dict], None] | None):
        """Stop a phase after `patience` epochs without a better one."""
        super().__init__()
        self.patience, self.on_epoch = patience, on_epoch
        self.history: dict[str, list[float]] = {
            key: [] for key in ("loss", "accuracy", "val_loss", "val_accuracy", "phase")
        }
        self.score, self.epoch = (-np.inf, -np.inf), 0
        self.weights: list[np.ndarray] = []

    def start_phase(self, number: int, whole: Callable[[], list[np.ndarray]]) -> None:
        """Enter phase `number`; `whole` returns all weights of the classifier as they are now."""
        self.phase, self.whole, self.stale = number, whole, 0

    def on_epoch_end(self, epoch, logs=None):
        """Note the epoch, and its weights if it is the best so far."""
        for key in self.history:
            self.history[key].append(self.phase if key == "phase" else float(logs[key]))
        finished = len(self.history["loss"])
        score = (logs["val_accuracy"], -logs["val_loss"])
        self.stale += 1
        if score > self.score or not self.weights:
            self.score, self.epoch, self.stale = score, finished, 0
            self.weights = self.whole()
        if self.stale >= self.patience:
            self.model.stop_training = True
        if self.on_epoch:
            self.on_epoch(finished, logs)


@dataclass
class _Training:
    """What stays the same over the phases of one run."""

    dataset: Dataset
    model: keras.Model
    network: Backbone
    batchnorm: str
    batch_size: int
    steps: int
    seed: int

    def run_phase(
        self, number: int, phase: Phase, epochs: int, rate: float, decay: float, best: BestEpoch
    ) -> float:
        """Train one phase, leave its last weights in `model`, and return its seconds."""
        train, validation = self.dataset.train, self.dataset.validation
        classes = self.model.get_layer("classes")
        if phase.only_head:
            encoder = encoder_of(self.model)
            inputs = [pooled_features(encoder, split.images) for split in (train, validation)]
            trainer = head_trainer(inputs[0].shape[1], self.dataset.num_classes)
            start_weights = classes.get_weights()
            frozen = self.model.get_weights()[: -len(classes.weights)]
            whole = lambda: [*frozen, *trainer.model.get_weights()]  # noqa: E731
        else:
            inputs = [train.images, validation.images]
            trainer = trainer_for(
                self.network.name,
                self.network.input_shape,
                train.images.shape[1:],
                self.dataset.num_classes,
                phase.trained,
                self.batchnorm,
                decay,
            )
            start_weights = self.model.get_weights()
            whole = trainer.model.get_weights
        batches = Batches(
            inputs[0], train.labels, self.batch_size, seed=[self.seed, number], steps=self.steps
        )
        trainer.trace(inputs[0], train.labels, self.batch_size)
        trainer.restart(start_weights, rate)
        best.start_phase(number, whole)
        self.trainer, self.only_head = trainer, phase.only_head
        start = time.perf_counter()
        trainer.model.fit(
            batches,
            epochs=epochs,
            validation_data=Batches(inputs[1], validation.labels, 4 * self.batch_size),
            callbacks=[best],
            verbose=0,
        )
        seconds = time.perf_counter() - start
        self.model.set_weights(whole())
        return seconds

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities that `model` gives, float32 [n, classes], without tracing it."""
        trained = self.trainer.model
        if self.only_head:
            trained.set_weights(self.model.get_layer("classes").get_weights())
            images = pooled_features(encoder_of(self.model), images)
        else:
            trained.set_weights(self.model.get_weights())
        parts = range(0, len(images), PREDICT_BATCH)
        return np.concatenate(
            [np.asarray(trained.predict_on_batch(images[i : i + PREDICT_BATCH])) for i in parts]
        )


def _start(backbone: str | Backbone, plan: Strategy, input_size: int | None) -> Backbone:
    """Build the backbone that the run may change, with the weights it starts from."""
    if isinstance(backbone, Backbone):
        own = load_backbone(backbone.name, weights=None, input_shape=backbone.input_shape)
        own.model.set_weights(backbone.model.get_weights())
        return replace(own, weights=backbone.weights)
    shape = None if input_size is None else (input_size, input_size, 3)
    weights = None if plan.weights == "random" else "default"
    return load_backbone(backbone, weights=weights, input_shape=shape)


def _default_rate(phase: Phase, plan: Strategy, network: Backbone) -> float:
    if phase.only_head:
        return HEAD_RATE
    return MINI_RATE if network.name in MINI or plan.weights == "random" else FULL_SIZE_RATE


def _check_positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}: give a whole number of at least 1")
