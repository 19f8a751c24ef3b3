"""Puts a head on a backbone, and keeps one compiled copy of each architecture for re-use.

On small models Keras spends more time tracing than training. So one copy, a `SharedClassifier`,
serves every strategy, seed and learning rate of an architecture: its weights are set anew for each
run, and what was traced for it stays.
"""

from collections.abc import Sequence
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf

from tlkit.backbones import Backbone, load_backbone
from tlkit.batches import Batches
from tlkit.freezing import HEAD, STAGES, layers_by_stage, set_trained
from tlkit.graph import Graph, frontier, submodel, unfold

STEPS_AT_ONCE = 8  # steps between two looks of Keras at the outside world, such as Ctrl-C


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
    """The trained part of a classifier, compiled, that can be started anew any number of times.

    Attributes:
        model: from the tensors of `cut` to probabilities.
        cut: numbers of the tensors that it starts from.
    """

    def __init__(self, model: keras.Model, cut: tuple[int, ...], optimizer):
        """Compile `model`; what is trained must be settled before."""
        model.compile(
            optimizer,
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            steps_per_execution=STEPS_AT_ONCE,
        )
        optimizer.build(model.trainable_variables)
        self.model, self.cut = model, cut
        self._traced = False
        self._start = [np.asarray(variable).copy() for variable in optimizer.variables]

    def trace(self, inputs: Sequence[np.ndarray], labels: np.ndarray, batch_size: int) -> None:
        """Let Keras trace training now, so that a first run is not slower than a second.

        Every weight is as it was afterwards.
        """
        if not self._traced:
            weights = self.model.get_weights()
            few = Batches([array[:2] for array in inputs], labels[:2], batch_size)
            self.model.fit(few, shuffle=False, verbose=0)
            self.model.set_weights(weights)
            self._traced = True

    def restart(self, learning_rate: float) -> None:
        """Empty the optimiser and set its rate."""
        for variable, value in zip(self.model.optimizer.variables, self._start, strict=True):
            variable.assign(value)
        self.model.optimizer.learning_rate = learning_rate


class SharedClassifier:
    """One classifier, the parts of it that have been traced, and its trainers."""

    def __init__(self, model: keras.Model):
        """Take over `model`, whose weights and `trainable` flags will be overwritten."""
        self.model = model
        self.graph: Graph = unfold(model)
        self._functions: dict[tuple, tf.types.experimental.ConcreteFunction] = {}
        self._trainers: dict[tuple, Trainer] = {}

    def trainer(
        self,
        trained: tuple[str, ...],
        batchnorm: str,
        *,
        rate_decay: float = 1.0,
        weight_decay: float = 0.0,
        whole: bool = False,
    ) -> Trainer:
        """Freeze all but `trained`, and return what trains just that.

        Args:
            trained: stages, as `set_trained` takes them.
            batchnorm: "frozen" or "update".
            rate_decay: factor on the learning rate for each stage further from the head.
            weight_decay: of Adam (decoupled, as in AdamW); 0 for none.
            whole: start from pixels even where the part next to them is frozen.
        """
        set_trained(self.model, trained, batchnorm=batchnorm)
        key = (trained, batchnorm, rate_decay, weight_decay, whole)
        if key not in self._trainers:
            cut = self.graph.inputs if whole else worthwhile_cut(self.graph)
            part = submodel(self.graph, cut, self.graph.outputs)
            decay = weight_decay or None
            if rate_decay == 1.0:
                optimizer = keras.optimizers.Adam(weight_decay=decay)
            else:
                factors = _factors(self.model, part, rate_decay)
                optimizer = StagewiseAdam(factors, weight_decay=decay)
            self._trainers[key] = Trainer(part, cut, optimizer)
        return self._trainers[key]

    def names(self, cut: Sequence[int]) -> list[str]:
        """Name the layers whose outputs a cut holds; none if it is the pixels."""
        return [
            call.operation.name for call in self.graph.calls if set(cut).intersection(call.outputs)
        ]

    def run(
        self, start: tuple[int, ...], end: tuple[int, ...], arrays: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Compute tensors `end` from tensors `start` for one batch, in inference mode.

        Returns:
            float32 arrays, one for each of `end`.
        """
        types = tuple(array.dtype for array in arrays)
        key = (start, end, types)
        if key not in self._functions:
            part = submodel(self.graph, start, end)

            def compute(*tensors):
                numbered = zip(tensors, start, strict=True)
                given = [tf.cast(x, self.graph.dtypes[i]) for x, i in numbered]
                outputs = part(given if len(given) > 1 else given[0], training=False)
                return [tf.cast(x, "float32") for x in keras.tree.flatten(outputs)]

            # Of any number of images: otherwise a smaller last batch would be traced again.
            shapes = [(None, *self.graph.shapes[i]) for i in start]
            signature = [tf.TensorSpec(s, t) for s, t in zip(shapes, types, strict=True)]
            # Concrete: TensorFlow would warn that functions of one name are traced again and again.
            function = tf.function(compute, input_signature=signature)
            self._functions[key] = function.get_concrete_function()
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        return [x.numpy() for x in self._functions[key](*tensors)]


def worthwhile_cut(graph: Graph) -> tuple[int, ...]:
    """Return the frontier of the frozen part, or the inputs where keeping it would gain nothing.

    It gains if it holds a layer with a kernel, or if its output is smaller than the pixels.
    """
    cut = frontier(graph)
    frozen = set(cut)
    for call in reversed(graph.calls):
        if frozen.intersection(call.outputs):
            frozen.update(call.inputs)
            if any(len(weight.shape) > 1 for weight in call.weights):
                return cut
    return cut if bytes_per_image(graph, cut) < pixel_bytes(graph) else graph.inputs


def bytes_per_image(graph: Graph, cut: Sequence[int]) -> int:
    """Count the bytes that the tensors of a cut take for one image, as float32."""
    return sum(4 * int(np.prod(graph.shapes[i])) for i in cut)


def pixel_bytes(graph: Graph) -> int:
    """Count the bytes of one image, as uint8."""
    return int(np.prod(graph.shapes[graph.inputs[0]]))


def _factors(whole: keras.Model, part: keras.Model, decay: float) -> list[float]:
    """Give each trained variable its factor: 1 in the head, `decay` once more a stage below it."""
    depth = {stage: len(STAGES) - position for position, stage in enumerate(STAGES)} | {HEAD: 0}
    factor = {
        variable.path: decay ** depth[stage]
        for stage, layers in layers_by_stage(whole).items()
        for layer in layers
        for variable in layer.trainable_variables
    }
    return [factor[variable.path] for variable in part.trainable_variables]


@lru_cache(maxsize=3)
def shared_classifier(
    backbone: str,
    input_shape: tuple[int, int, int],
    image_shape: tuple[int, int, int],
    classes: int,
    precision: str = "float32",
) -> SharedClassifier:
    """Return the classifier that all runs of an architecture share; its weights are leftovers.

    Args:
        backbone: name in the catalogue.
        input_shape: of the backbone.
        image_shape: of the images.
        classes: number of classes.
        precision: "float32", or "bfloat16" for a twin that computes in it and keeps float32
            weights.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        network = load_backbone(backbone, weights=None, input_shape=input_shape)
        return SharedClassifier(build_classifier(network, classes, image_shape))
    finally:
        keras.config.set_dtype_policy(before)
