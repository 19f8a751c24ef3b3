"""Puts a head on a backbone, and keeps compiled copies for re-use.

On small models Keras spends more time tracing than training. So one compiled copy, a `Trainer`,
serves every seed and learning rate of the same architecture and the same trained stages.
"""

from functools import lru_cache

import keras
import numpy as np

from tlkit.backbones import Backbone, load_backbone
from tlkit.batches import Batches
from tlkit.freezing import HEAD, STAGES, layers_by_stage, set_trained


def build_classifier(
    backbone: Backbone, classes: int, image_shape: tuple[int, int, int]
) -> keras.Model:
    """Join pixels, resizing, the backbone's own preprocessing, the backbone and a new head.

    Args:
        backbone: as `load_backbone` returns it; it becomes a layer of the result.
        classes: number of classes.
        image_shape: (height, width, 3) of the images it will be given.

    Returns:
        Functional model: pixel values 0 to 255 [n, height, width, 3] -> probabilities
        [n, classes]. Saved, it loads with plain Keras.
    """
    pixels = keras.Input(image_shape, name="pixels")
    x = pixels
    if tuple(image_shape) != tuple(backbone.input_shape):
        height, width = backbone.input_shape[:2]
        x = keras.layers.Resizing(height, width, antialias=True, name="resize")(x)
    x = backbone.model(backbone.preprocess(x))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(int(classes), activation="softmax", name="classes")(x)
    return keras.Model(pixels, outputs, name=f"{backbone.name}_at_{backbone.input_shape[0]}")


def encoder_of(model: keras.Model) -> keras.Model:
    """Return the frozen part of a classifier whose head alone is trained: pixels -> features."""
    return keras.Model(model.input, model.get_layer("pool").output, name=f"{model.name}_encoder")


class StagewiseAdam(keras.optimizers.Adam):
    """Adam whose learning rate has a factor for each trained variable, in their order."""

    def __init__(self, factors: list[float], **options):
        """Take Adam's own options besides `factors`."""
        super().__init__(**options)
        self.factors = factors

    def update_step(self, gradient, variable, learning_rate):
        """Take Adam's step at this variable's own rate."""
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


class Trainer:
    """A compiled classifier that can be started anew any number of times."""

    def __init__(self, model: keras.Model, rate_decay: float = 1.0):
        """Compile `model`; what is trained must be settled before."""
        if rate_decay == 1.0:
            optimizer = keras.optimizers.Adam()
        else:
            optimizer = StagewiseAdam(_factors(model, rate_decay))
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        optimizer.build(model.trainable_variables)
        self.model = model
        self._traced = False
        self._start = [np.asarray(variable).copy() for variable in optimizer.variables]

    def trace(self, images: np.ndarray, labels: np.ndarray, batch_size: int) -> None:
        """Let Keras trace training, validation and prediction now; the weights are spoilt by it.

        Otherwise the first run would seem slower than the same run from another seed.
        """
        if not self._traced:
            few = Batches(images[:2], labels[:2], batch_size)
            self.model.fit(few, validation_data=few, verbose=0)
            self.model.predict_on_batch(images[:2])
            self._traced = True

    def restart(self, weights: list[np.ndarray], learning_rate: float) -> None:
        """Forget everything: set the weights, empty the optimiser, set its rate."""
        self.model.set_weights(weights)
        for variable, value in zip(self.model.optimizer.variables, self._start, strict=True):
            variable.assign(value)
        self.model.optimizer.learning_rate = learning_rate


def _factors(model: keras.Model, decay: float) -> list[float]:
    """Give each trained variable its factor: 1 in the head, `decay` once more a stage below it."""
    depth = {stage: len(STAGES) - position for position, stage in enumerate(STAGES)} | {HEAD: 0}
    factor = {
        variable.path: decay ** depth[stage]
        for stage, layers in layers_by_stage(model).items()
        for layer in layers
        for variable in layer.trainable_variables
    }
    return [factor[variable.path] for variable in model.trainable_variables]


@lru_cache(maxsize=8)
def trainer_for(
    backbone: str,
    input_shape: tuple[int, int, int],
    image_shape: tuple[int, int, int],
    classes: int,
    trained: tuple[str, ...],
    batchnorm: str,
    rate_decay: float,
) -> Trainer:
    """Return the compiled classifier that trains exactly these stages; its weights are leftovers.

    Where only the head is trained, it is the head alone, to be fed with pooled features.
    """
    network = load_backbone(backbone, weights=None, input_shape=input_shape)
    model = set_trained(
        build_classifier(network, classes, image_shape), trained, batchnorm=batchnorm
    )
    return Trainer(model, rate_decay)


@lru_cache(maxsize=8)
def head_trainer(features: int, classes: int) -> Trainer:
    """Return a compiled head: pooled features [n, features] -> probabilities [n, classes]."""
    pooled = keras.Input((features,), name="features")
    outputs = keras.layers.Dense(classes, activation="softmax", name="classes")(pooled)
    return Trainer(keras.Model(pooled, outputs))
