"""What part of the image a unit can see: it follows from kernels, strides and paddings alone."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

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
ENLARGING = (keras.layers.Conv2DTranspose, keras.layers.UpSampling2D)


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
        if self.whole or other.whole:
            seen = [field for field in (self, other) if field.whole]
            low, high = min(field.low for field in seen), max(field.high for field in seen)
        return Field(low, high, min(self.stride, other.stride), self.whole or other.whole)


def receptive_fields(model: keras.Model | Backbone) -> pd.DataFrame:
    """Tabulate the theoretical receptive field of every layer's units (Araujo et al. 2019).

    Where paths of several lengths meet, the field spans all of them. A dilated window may leave
    out pixels inside its span.

    Args:
        model: sequential or functional, of images of a known size; or a `Backbone`.

    Returns:
        One row a layer, the image's side first: `layer`; `size`, side of the field in pixels of
        the image, which may be larger than the image: the rest lies in the padding; `stride`, by
        how many pixels the fields of neighbouring units differ. What takes in a whole map
        (Flatten, global pooling, Dense after them) has the image's side for both. Of two axes that
        differ the larger number is given.

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
        stride = max(field.stride for field in pair)
        stride = int(stride) if stride == int(stride) else float(stride)
        rows.append({"layer": name, "size": max(f.size for f in pair), "stride": stride})
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
    unit = central_unit(sides) if unit is None else tuple(unit)
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
    sides = opened.input_shape[:2]
    if len(opened.input_shape) != 3 or None in sides:
        raise InputError(
            f"model takes {opened.input_shape}; images (height, width, channels) of a known size "
            "are needed, as keras.Input((64, 64, 3)) says"
        )
    fields = {opened.graph.inputs[0]: (Field(0, 0, 1), Field(0, 0, 1))}
    for call in opened.graph.calls:
        pair = tuple(_after(call, axis, opened.graph, fields, sides[axis]) for axis in (0, 1))
        fields.update({tensor: pair for tensor in call.outputs})
    return fields


def _after(call: Call, axis: int, graph: Graph, fields: dict, side: int) -> Field:
    """Compute the field of one axis after one call."""
    kind, operation = type(call.operation).__name__, call.operation
    given, shapes = [fields[i][axis] for i in call.inputs], [graph.shapes[i] for i in call.inputs]
    after = graph.shapes[call.outputs[0]]
    known = [
        field
        if len(after) == 3 and len(shape) == 3
        else field.all_units(shape[axis] if len(shape) == 3 else 1, side)
        for field, shape in zip(given, shapes, strict=True)
    ]
    joined = known[0]
    for field in known[1:]:
        joined = joined.joined(field)
    units = shapes[0][axis] if len(shapes[0]) == 3 else 1
    if getattr(operation, "data_format", None) == "channels_first":
        raise InputError(f"layer {operation.name!r}: channels_first is not supported")
    if len(after) != 3:
        return joined
    if isinstance(operation, ENLARGING):
        raise InputError(f"layer {operation.name!r}: the field of a {kind} is not computed here")
    window = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None)
    if window is not None:
        stride = _of_axis(operation.strides, axis)
        reach = (_of_axis(window, axis) - 1) * _of_axis(
            getattr(operation, "dilation_rate", 1), axis
        )
        padded = (ceil(units / stride) - 1) * stride + reach + 1 - units
        before = max(padded, 0) // 2 if operation.padding == "same" else 0
        return joined.window(reach, stride, before)
    if isinstance(operation, (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)):
        inwards = isinstance(operation, keras.layers.Cropping2D)
        edges = operation.cropping if inwards else operation.padding
        return joined.window(0, 1, -edges[axis][0] if inwards else edges[axis][0])
    if isinstance(operation, keras.layers.Resizing):
        return _resized(joined, Fraction(units, after[axis]), operation.antialias)
    if (after[:2] == (1, 1) != shapes[0][:2]) or isinstance(
        operation, keras.layers.GroupNormalization
    ):
        return joined.all_units(units, side)
    if kind in POINTWISE or _over_channels(operation):
        return joined
    raise InputError(
        f"layer {operation.name!r} is a {kind}, whose receptive field is not known here; known are "
        "convolutions, pooling, padding, cropping, resizing and what treats each position by itself"
    )


def _resized(field: Field, scale: Fraction, antialias: bool) -> Field:
    """Field after bilinear resizing, which takes in `scale` units a unit."""
    if scale == 1 or field.whole:
        return replace(field, stride=field.stride * scale)
    reach = max(scale, Fraction(1)) if antialias else Fraction(1)
    middle = scale / 2 - Fraction(1, 2)
    low, high = (middle - reach) * field.stride, (middle + reach) * field.stride
    return Field(field.low + low, field.high + high, field.stride * scale)


def _over_channels(operation: keras.Operation) -> bool:
    """Whether a layer normalises each position by itself."""
    if not isinstance(operation, (keras.layers.LayerNormalization, keras.layers.UnitNormalization)):
        return False
    axes = operation.axis if isinstance(operation.axis, (list, tuple)) else [operation.axis]
    return set(axes) <= {-1, 3}


def _of_axis(value, axis: int) -> int:
    return int(value[axis]) if isinstance(value, (list, tuple)) else int(value)
