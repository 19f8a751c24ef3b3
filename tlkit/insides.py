"""Reaches the layers of a model by name, those of models inside it included."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tlkit.backbones import Backbone
from tlkit.errors import InputError
from tlkit.graph import Call, Graph, submodel, unfold

AT_ONCE = 64  # images


@dataclass(frozen=True)
class Insides:
    """A model of images (or of other arrays), opened.

    Attributes:
        graph: its calls, in an order in which they can be carried out.
        calls: name of a layer -> its call. What is used a second time is "name:2".
    """

    graph: Graph
    calls: dict[str, Call]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of what goes in, without the batch."""
        return self.graph.shapes[self.graph.inputs[0]]

    @property
    def maps(self) -> list[str]:
        """Names of the layers whose output is a feature map [h, w, c]."""
        return [name for name in self.calls if len(self.shape_of(name)) == 3]

    def shape_of(self, layer: str) -> tuple[int | None, ...]:
        """Shape of a layer's output, without the batch."""
        return self.graph.shapes[self.calls[layer].outputs[0]]

    def tensor_of(self, layer: str) -> int:
        """Return the number of a layer's output; InputError where there is no such layer."""
        if layer not in self.calls:
            raise InputError(f"layer={layer!r} is not in the model: give {_listed(self.calls)}")
        return self.calls[layer].outputs[0]

    def map_of(self, layer: str) -> int:
        """Return the number of a layer's output, which must be a feature map [h, w, c]."""
        tensor = self.tensor_of(layer)
        if len(self.graph.shapes[tensor]) != 3:
            raise InputError(
                f"layer={layer!r} gives {self.graph.shapes[tensor]}, which is no feature map "
                f"(height, width, channels): give {_listed(self.maps)}"
            )
        return tensor

    def part(self, *ends: int) -> keras.Model:
        """Build the model from the input to some tensors; it shares the layers."""
        return submodel(self.graph, self.graph.inputs, ends)

    def batches(self, images: np.ndarray) -> Iterator[tf.Tensor]:
        """Give the images a batch at a time, in the type that the model takes."""
        for start in range(0, len(images), AT_ONCE):
            yield self.given(images[start : start + AT_ONCE])

    def given(self, images: np.ndarray) -> tf.Tensor:
        """Return images in the type that the model takes."""
        return tf.cast(images, self.graph.dtypes[self.graph.inputs[0]])

    def check_slopes(self) -> None:
        """Raise InputError if no gradient passes through the model's input."""
        dtype = self.graph.dtypes[self.graph.inputs[0]]
        if not tf.as_dtype(dtype).is_floating:
            raise InputError(
                f"model takes {dtype}, through which no gradient passes: build it on "
                "keras.Input(shape), which takes any number type and gives float32"
            )

    def outputs(self, tensor: int, images: np.ndarray) -> np.ndarray:
        """Compute a tensor for all images in inference mode, float32 [n, ...]."""
        part = self.part(tensor)
        return np.concatenate(
            [as_array(part(batch, training=False)) for batch in self.batches(images)]
        )

    def checked(self, images: Any) -> np.ndarray:
        """Return images as an array; InputError unless the model takes their shape and type."""
        array = np.asarray(images)
        wanted = ("n", *("any" if side is None else side for side in self.input_shape))
        fits = array.ndim == len(wanted) and all(
            side in ("n", "any", length) for side, length in zip(wanted, array.shape, strict=True)
        )
        if not fits or not len(array):
            shape = ", ".join(map(str, wanted))
            hint = "; a single image needs an axis in front: images[None]"
            hint = hint if array.ndim == len(wanted) - 1 else ""
            raise InputError(
                f"images has shape {array.shape}; [{shape}] with n >= 1 is needed{hint}"
            )
        if array.dtype.kind not in "uif":
            raise InputError(f"images is of type {array.dtype}; uint8 or a float type is needed")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError("images has values that are not finite; give numbers only")
        return array


def look_inside(model: keras.Model | Backbone) -> Insides:
    """Open a model: sequential or functional, whatever models are in it; or a backbone.

    A `Backbone` takes pixel values 0 to 255, its own preprocessing included; its bare `model`
    takes what that preprocessing returns.

    Raises:
        InputError: the model is of another kind, was not built yet, or has several inputs.

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> opened = look_inside(load_backbone("mini_vgg", weights=None))
        >>> opened.input_shape, opened.maps[-1], opened.shape_of("block5_pool")
        ((64, 64, 3), 'block5_pool', (2, 2, 128))
    """
    if isinstance(model, Backbone):
        pixels = keras.Input(model.input_shape, name="pixels")
        model = keras.Model(pixels, model.model(model.preprocess(pixels)))
    if isinstance(model, keras.Sequential) and not model.built:
        raise InputError(f"model={model.name!r} has no input yet: begin it with keras.Input(shape)")
    if not isinstance(model, keras.Sequential) and not hasattr(model, "_nodes_by_depth"):
        raise InputError(
            f"model={getattr(model, 'name', model)!r} is no sequential or functional Keras model, "
            "so its layers cannot be reached"
        )
    if len(model.inputs) != 1:
        raise InputError(f"model={model.name!r} has {len(model.inputs)} inputs; one is needed")
    graph = unfold(model)
    calls: dict[str, Call] = {}
    for call in graph.calls:
        name, uses = call.operation.name, 1
        while name in calls:
            uses += 1
            name = f"{call.operation.name}:{uses}"
        calls[name] = call
    return Insides(graph, calls)


def as_array(tensor: Any) -> np.ndarray:
    """Return a tensor as a float32 array."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


def central_unit(sides: Sequence[int]) -> tuple[int, int]:
    """Return row and column of the unit at half of both sides of a map."""
    return sides[0] // 2, sides[1] // 2


def _listed(names: Any) -> str:
    return "one of " + ", ".join(names)
