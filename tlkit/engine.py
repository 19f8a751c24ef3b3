"""Trains the phases of one run so that nothing frozen is computed twice."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlkit.augmentation import as_augmentation
from tlkit.augmented_views import AugmentedViews
from tlkit.batches import Batches, Reader
from tlkit.classifier import SharedClassifier, Trainer
from tlkit.dataset import Dataset
from tlkit.epochs import BestEpoch
from tlkit.precision import measure_precision
from tlkit.prefix import BATCH, Pixels, Source, Views, affordable, features, in_flight
from tlkit.strategies import Phase

VIEWS_SEED = 0  # the same copies for every seed of a run, so that seeds share them


@dataclass
class Engine:
    """What stays the same over the phases of one run.

    Attributes:
        dataset: images and labels.
        shared: the classifier whose weights are trained.
        phases: what is trained, in order.
        batchnorm, rate_decay, weight_decay, batch_size, steps, seed, augmentation, views, cache:
            as in `tlkit.fit`.
        twin: the same classifier in bfloat16, or None for float32.
        measure: use the twin only where it is faster and agrees.
        facts: what was done, for the record.
    """

    dataset: Dataset
    shared: SharedClassifier
    phases: Sequence[Phase]
    batchnorm: str
    rate_decay: float
    weight_decay: float
    batch_size: int
    steps: int
    seed: int
    augmentation: str | Sequence[str] | Callable | None
    views: int | None
    cache: bool
    twin: SharedClassifier | None
    measure: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        """Note what is known before training."""
        self.sources: dict[str, Source] = {}
        self.facts |= {
            "frozen_part": [],
            "feature_seconds": 0.0,
            "precision": {"used": "float32"} if self.twin is None else None,
        }

    def train(self, number: int, rate: float, epochs: int, best: BestEpoch) -> float:
        """Train one phase on top of the weights of `shared`, and return its seconds."""
        trainer = self._trainer(number)
        split = self.dataset.train
        inputs = self._inputs(number, trainer.cut, "train")
        validation = self._inputs(number, trainer.cut, "validation")
        kept = trainer.cut != self.shared.graph.inputs
        augment = None
        if self.augmentation is not None and not kept:
            seed = [self.seed, number]
            augment = as_augmentation(self.augmentation, split.images.shape[1:], seed)
        batches = Batches(
            inputs,
            split.labels,
            self.batch_size,
            seed=[self.seed, number],
            steps=self.steps,
            augment=augment,
            views=self.views if kept and self.views else 1,
        )
        trainer.trace(inputs, split.labels, self.batch_size)
        trainer.restart(rate)
        best.start_phase(number, lambda: self._predict(trainer.cut, validation))
        start = time.perf_counter()
        # `shuffle` would draw the order of the batches from a generator that all Keras code shares.
        trainer.model.fit(batches, epochs=epochs, shuffle=False, callbacks=[best], verbose=0)
        return time.perf_counter() - start

    def best_weights(self, number: int, best: BestEpoch) -> list[np.ndarray]:
        """Return the whole classifier's weights at the best epoch, which is in phase `number`.

        The classifier itself keeps its last weights: the next phase goes on from them.
        """
        trained = self._trainer(number).model
        last = trained.get_weights()
        trained.set_weights(best.weights)
        whole = self.shared.model.get_weights()
        trained.set_weights(last)
        return whole

    def test_predictions(self, number: int) -> np.ndarray:
        """Return the probabilities of the test images; `shared` has the weights of phase `number`.

        Returns:
            float32 [n, classes].
        """
        cut = self._trainer(number).cut
        return self._predict(cut, self._inputs(number, cut, "test"))

    def _trainer(self, number: int) -> Trainer:
        """Set what is trained in a phase, and return its trainer."""
        phase = self.phases[number]
        fresh = self.augmentation is not None and self.views is None
        options = {"rate_decay": self.rate_decay, "weight_decay": self.weight_decay}
        make = lambda whole: self.shared.trainer(  # noqa: E731
            phase.trained, self.batchnorm, whole=whole, **options
        )
        trainer = make(fresh or not self.cache)
        rows = len(self.dataset.train) * (self.views or 1)
        if trainer.cut == self.shared.graph.inputs or affordable(self.shared, trainer.cut, rows):
            return trainer
        return make(True)

    def _inputs(self, number: int, cut: tuple[int, ...], name: str) -> list[np.ndarray]:
        """Return what the trained part is fed with: images, or the frozen part's outputs."""
        images = getattr(self.dataset, name).images
        if name == "train":
            self.facts["frozen_part"].append(self.shared.names(cut))
        if cut == self.shared.graph.inputs:
            return [images]
        start = time.perf_counter()
        if name not in self.sources:
            self.sources[name] = self._source(name, images)
        arrays = features(self._frozen(cut), cut, self.sources[name], later=self._later(number))
        self.facts["feature_seconds"] += time.perf_counter() - start
        return arrays

    def _source(self, name: str, images: np.ndarray) -> Source:
        augment = as_augmentation(self.augmentation, images.shape[1:], VIEWS_SEED)
        if name != "train" or augment is None or self.views is None:
            return Pixels(images)
        return Views(AugmentedViews(images, augment, self.views))

    def _later(self, number: int) -> list[int]:
        """List the tensors that later phases start from and that training will not have changed."""
        later: set[int] = set()
        trained: set[str] = set()
        for position in range(number + 1, len(self.phases)):
            trained |= set(self.phases[position - 1].trained)
            if trained <= set(self.phases[position].trained):
                later |= set(self._trainer(position).cut)
        self._trainer(number)  # what is trained is that of this phase again
        return sorted(later - set(self.shared.graph.inputs))

    def _frozen(self, cut: tuple[int, ...]) -> SharedClassifier:
        """Return the classifier that computes the frozen part, with the present weights."""
        if self.twin is None:
            return self.shared
        self.twin.model.set_weights(self.shared.model.get_weights())
        if self.facts["precision"] is None:
            batch = self.dataset.train.images[:BATCH]
            if self.measure:
                self.facts["precision"] = measure_precision(self.shared, self.twin, cut, batch)
            else:
                self.facts["precision"] = {"used": "bfloat16"}
        return self.twin if self.facts["precision"]["used"] == "bfloat16" else self.shared

    def _predict(self, cut: tuple[int, ...], inputs: Sequence[np.ndarray]) -> np.ndarray:
        reader, outputs = Reader(inputs), self.shared.graph.outputs
        blocks = (
            reader.read(slice(start, start + BATCH)) for start in range(0, len(inputs[0]), BATCH)
        )
        run = lambda arrays: self.shared.run(cut, outputs, arrays)  # noqa: E731
        return np.concatenate([parts[0] for parts in in_flight(run, blocks)])
