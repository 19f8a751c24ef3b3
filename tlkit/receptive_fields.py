"""What part of the image a unit can see: it follows from kernels, strides and paddings alone."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from math import ceil, floor
from typing import cast

import keras
import pandas as pd

from tlkit.backbones import Backbone
from tlkit.errors import InputError
from tlkit.graph import Call, Graph
from tlkit.insides import Insides, central_unit, look_inside

# Layers and operations that treat every position by itself, whatever they do to the channels.
# fmt: off
POINTWISE = frozenset([
    "Absolute", "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average",
    "BatchNormalization", "Cast", "Clip", "Concatenate", "Dense", "Divide", "Dropout", "ELU",
    "Elu", "Exp", "GaussianDropout", "GaussianNoise", "Gelu", "GetItem", "HardSigmoid",
    "HardSwish", "Identity", "LeakyReLU", "LeakyRelu", "Log", "Maximum", "Minimum", "Multiply",
    "Negative", "Normalization", "PReLU", "Power", "ReLU", "ReLU6", "Relu", "Relu6",
    "Rescaling", "Sigmoid", "Silu", "Softmax", "SpatialDropout2D", "Sqrt", "Square", "Subtract",
    "Tanh", "TrueDivide",
])
# fmt: on


@dataclass(frozen=True)
class Field:
    """The pixels of one axis that a map's units can see: unit i sees low + i * stride and on.

    Attributes:
        low: first pixel that unit 0 can see; below 0 where it lies in the padding.
        high: last pixel that unit 0 can see.
        stride: pixels from one unit's field to the next one's.
        whole: every unit sees low to high, since some layer before took in its whole map.
    """

    low: int | Fraction
    high: int | Fraction
    stride: int | Fraction
    whole: bool = False

    @property
    def size(self) -> int:
        """Pixels from the first to the last one."""
        return ceil(self.high - self.low) + 1

    def window(self, reach: int, stride: int, before: int) -> "Field":
        """Field of a window that spans reach + 1 units and begins `before` units early."""
        if self.whole:
            return replace(self, stride=self.stride * stride)
        low, high = self.low - before * self.stride, self.high + (reach - before) * self.stride
        return Field(low, high, self.stride * stride)

    def all_units(self, units: int, side: int) -> "Field":
        """Field of what takes in all units of a map, in an image of `side` pixels."""
        last = 0 if self.whole else (units - 1) * self.stride
        return Field(max(self.low, 0), min(self.high + last, side - 1), side, whole=True)

    def joined(self, other: "Field") -> "Field":
        """Field of a unit that takes in one of either map, as a sum does."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        if not (self.whole or other.whole or self.stride == other.stride):
            raise InputError(
                f"maps that are joined have strides of {self.stride} and {other.stride} pixels: "
                "their units do not lie over the same parts of the image"
            )
        if self.whole or other.whole:
            seen = [field for field in (self, other) if field.whole]
            low, high = min(field.low for field in seen), max(field.high for field in seen)
        return Field(low, high, min(self.stride, other.stride), self.whole or other.whole)


def receptive_fields(model: keras.Model | Backbone) -> pd.DataFrame:
    """Tabulate the theoretical receptive field of the units of every layer (Araujo et al. 2019).

    Where paths of several lengths meet, the field spans all of them. A dilated window may leave
    out pixels inside its span.

    Args:
        model: sequential or functional, of images of a known size; or a `Backbone`.

    Returns:
        One row a layer, the image's side first (an operation such as `x + y` is no layer):
        `layer`; `size`, side of the field in pixels of the image, which may be larger than the
        image: the rest lies in the padding; `stride`, by how many pixels the fields of
        neighbouring units differ. What takes in a whole map (Flatten, global pooling, Dense after
        them) has the image's side for both. Of two axes that differ the larger number is given.

    Raises:
        InputError: a layer is of a kind whose field is not known, or the model is not as above.

    Example:
        >>> model = keras.Sequential([keras.Input((32, 32, 3)),
        ...                           keras.layers.Conv2D(4, 3, name="first"),
        ...                           keras.layers.MaxPooling2D(2, name="pool"),
        ...                           keras.layers.Conv2D(4, 3, name="second")])
        >>> receptive_fields(model).values.tolist()
        [['first', 3, 1], ['pool', 4, 2], ['second', 8, 2]]
    """
    opened = look_inside(model)
    fields = _fields_of(opened)
    rows = []
    for name, call in opened.calls.items():
        pair = fields[call.outputs[0]]
        if isinstance(call.operation, keras.Layer):
            stride = max(field.stride for field in pair)
            size = max(field.size for field in pair)
            rows.append({"layer": name, "size": size, "stride": _plain(stride)})
    return pd.DataFrame(rows)


def receptive_field_box(
    model: keras.Model | Backbone, layer: str, unit: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """Find which pixels one unit of a feature map can see in theory.

    Args:
        model: as in `receptive_fields`.
        layer: name of a layer with a feature map.
        unit: (row, column) of the unit in its map; the one at half of both sides if None, as in
            `effective_receptive_field`.

    Returns:
        (top, left, height, width) in pixels. It may reach beyond the image, into the padding.

    Raises:
        InputError: there is no such layer or unit.

    Example:
        >>> model = keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Conv2D(1, 3, name="c")])
        >>> receptive_field_box(model, "c")
        (3, 3, 3, 3)
    """
    opened = look_inside(model)
    sides = opened.graph.shapes[opened.map_of(layer)][:2]
    unit = central_unit(sides) if unit is None else unit
    if len(unit) != 2 or not all(0 <= i < side for i, side in zip(unit, sides, strict=True)):
        raise InputError(f"unit={unit!r} is not in the map of {layer!r}, whose sides are {sides}")
    corner, lengths = [], []
    for field, index in zip(_fields_of(opened)[opened.tensor_of(layer)], unit, strict=True):
        step = 0 if field.whole else index * field.stride
        corner.append(floor(field.low + step))
        lengths.append(ceil(field.high + step) - corner[-1] + 1)
    return corner[0], corner[1], lengths[0], lengths[1]


def _fields_of(opened: Insides) -> dict[int, tuple[Field, Field]]:
    """Compute the fields of rows and columns for every tensor of a graph."""
    if len(opened.input_shape) != 3 or None in opened.input_shape:
        raise InputError(
            f"model takes {opened.input_shape}; images (height, width, channels) of a known size "
            "are needed, as keras.Input((64, 64, 3)) says"
        )
    shape = cast(tuple[int, ...], opened.input_shape)
    fields = {opened.graph.inputs[0]: (Field(0, 0, 1), Field(0, 0, 1))}
    for call in opened.graph.calls:
        rows, columns = (_after(call, axis, opened.graph, fields, shape[axis]) for axis in (0, 1))
        fields.update({tensor: (rows, columns) for tensor in call.outputs})
    return fields


def _after(call: Call, axis: int, graph: Graph, fields: dict, side: int) -> Field:
    """Compute the field of one axis after one call, in an image of `side` pixels."""
    operation, after = call.operation, graph.shapes[call.outputs[0]]
    shapes = [graph.shapes[i] for i in call.inputs]
    sides = [shape[axis] if len(shape) == 3 else 1 for shape in shapes]
    given = []
    for tensor, shape, units in zip(call.inputs, shapes, sides, strict=True):
        local = len(after) == len(shape) == 3 and (units > 1 or max(sides) == 1)
        field = fields[tensor][axis]
        given.append(field if local else field.all_units(units, side))
    joined = reduce(Field.joined, given)
    if len(after) != 3:
        return joined
    window = _window(operation, axis, sides[0])
    if window is not None:
        return joined.window(*window)
    if isinstance(operation, keras.layers.Resizing):
        return _resized(joined, Fraction(sides[0], after[axis]), operation.antialias)
    reduced = after[:2] == (1, 1) != shapes[0][:2]
    if reduced or isinstance(operation, keras.layers.GroupNormalization):
        return joined.all_units(sides[0], side)
    if _is_pointwise(operation) and after[axis] == max(sides):
        return joined
    raise InputError(
        f"layer {operation.name!r} is a {type(operation).__name__}, whose receptive field is not "
        "known here; known are convolutions, pooling, padding, cropping and resizing, what treats "
        "each position by itself, and what takes in the whole map"
    )


def _window(operation: keras.Operation, axis: int, units: int) -> tuple[int, int, int] | None:
    """Return reach, stride and units of padding in front, where a layer slides a window."""

    def along(value) -> int:
        return int(value[axis]) if isinstance(value, (list, tuple)) else int(value)

    if isinstance(operation, keras.layers.ZeroPadding2D):
        return 0, 1, operation.padding[axis][0]
    if isinstance(operation, keras.layers.Cropping2D):
        return 0, 1, -operation.cropping[axis][0]
    size = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None)
    padding = getattr(operation, "padding", None)
    enlarges = isinstance(operation, keras.layers.Conv2DTranspose)
    if size is None or padding not in ("valid", "same") or enlarges:
        return None
    stride = along(operation.strides)
    reach = (along(size) - 1) * along(getattr(operation, "dilation_rate", 1))
    missing = (ceil(units / stride) - 1) * stride + reach + 1 - units
    return reach, stride, max(missing, 0) // 2 if padding == "same" else 0


def _resized(field: Field, scale: Fraction, antialias: bool) -> Field:
    """Field after bilinear resizing, which takes in `scale` units a unit."""
    if scale == 1 or field.whole:
        return replace(field, stride=field.stride * scale)
    reach = max(scale, Fraction(1)) if antialias else Fraction(1)
    middle = scale / 2 - Fraction(1, 2)
    low, high = (middle - reach) * field.stride, (middle + reach) * field.stride
    return Field(field.low + low, field.high + high, field.stride * scale)


def _is_pointwise(operation: keras.Operation) -> bool:
    """Whether what comes out at a position depends on that position only."""
    if isinstance(operation, (keras.layers.LayerNormalization, keras.layers.UnitNormalization)):
        axes = operation.axis if isinstance(operation.axis, (list, tuple)) else [operation.axis]
        return set(axes) <= {-1, 3}
    return any(kind.__name__ in POINTWISE for kind in type(operation).__mro__)


def _plain(stride: int | Fraction) -> int | float:
    return int(stride) if stride == int(stride) else float(stride)
