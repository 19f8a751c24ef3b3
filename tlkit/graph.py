"""A functional model as a list of calls: where it can be cut, what a cut computes, and its twin.

Keras keeps a functional model as a graph of layer calls, and a model inside a model as one call.
Here the graph is unfolded into one flat list, in which every tensor has a number. Three things are
read from it: which part gives the same output however long the rest is trained (`frontier`),
a hash of everything that decides a tensor (`fingerprints`), and a model from some tensors to
others that shares the layers of the first (`submodel`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Slot:
    """Stands for a tensor in the arguments of a call."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of an operation that is no layer.

    Attributes:
        operation: the layer or operation.
        args: its positional arguments, a `Slot` for each tensor.
        kwargs: its keyword arguments, likewise.
        inputs: numbers of the tensors it takes.
        outputs: numbers of the tensors it gives.
    """

    operation: Any
    args: tuple
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def weights(self) -> list[keras.Variable]:
        """The layer's weights; none where the operation is no layer."""
        return getattr(self.operation, "weights", [])

    @property
    def still(self) -> bool:
        """Whether training leaves it as it is: nothing in it is trained, updated or random."""
        if not isinstance(self.operation, keras.Layer):
            return True
        return not (self.operation.trainable and self.weights) and not _is_random(self.operation)


@dataclass(frozen=True)
class Graph:
    """A functional model, unfolded.

    Attributes:
        calls: in an order in which they can be carried out.
        inputs: numbers of the model's inputs.
        outputs: numbers of its outputs.
        shapes: number of a tensor -> its shape without the batch.
        dtypes: number of a tensor -> its dtype.
    """

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: dict[int, tuple[int, ...]]
    dtypes: dict[int, str]


def unfold(model: keras.Model) -> Graph:
    """List the calls of a functional model, those of functional models inside it included.

    Example:
        >>> image = keras.Input((4, 4, 3))
        >>> pool = keras.layers.GlobalAveragePooling2D()
        >>> inner = keras.Sequential([keras.Input((4, 4, 3)), pool])
        >>> model = keras.Model(image, keras.layers.Dense(2)(inner(image * 2)))
        >>> [type(call.operation).__name__ for call in unfold(model).calls]
        ['Multiply', 'GlobalAveragePooling2D', 'Dense']
    """
    tensors: list[keras.KerasTensor] = []
    calls: list[Call] = []

    def number(tensor: keras.KerasTensor) -> int:
        tensors.append(tensor)
        return len(tensors) - 1

    def visit(network: keras.Model, given: Sequence[int]) -> list[int]:
        slots = dict(zip(map(id, network.inputs), given, strict=True))
        for depth in sorted(network._nodes_by_depth, reverse=True):
            for node in network._nodes_by_depth[depth]:
                if node.is_input or not all(id(x) in slots for x in node.input_tensors):
                    continue
                inputs = tuple(slots[id(x)] for x in node.input_tensors)
                inner = _functional(node.operation)
                if inner is not None:
                    outputs = visit(inner, inputs)
                else:
                    outputs = [number(x) for x in node.outputs]
                    args, kwargs = node.arguments.convert(
                        lambda x: Slot(slots[id(x)]) if id(x) in slots else x
                    )
                    calls.append(Call(node.operation, args, kwargs, inputs, tuple(outputs)))
                slots.update(zip(map(id, node.outputs), outputs, strict=True))
        return [slots[id(x)] for x in network.outputs]

    given = [number(tensor) for tensor in model.inputs]
    outputs = visit(_functional(model) or model, given)
    return Graph(
        tuple(calls),
        tuple(given),
        tuple(outputs),
        {i: tuple(tensor.shape[1:]) for i, tensor in enumerate(tensors)},
        {i: keras.backend.standardize_dtype(tensor.dtype) for i, tensor in enumerate(tensors)},
    )


def frontier(graph: Graph) -> tuple[int, ...]:
    """Find the tensors at which the frozen part ends: all that the rest takes from it.

    The frozen part is every call that is still and depends on still calls only. A tensor that
    needs no weights to be computed from others of the frontier is not listed.

    Returns:
        Numbers of tensors, in ascending order; the model's own inputs where nothing is frozen.
    """
    producer = {output: call for call in graph.calls for output in call.outputs}
    frozen = set(graph.inputs)
    for call in graph.calls:
        if call.still and frozen.issuperset(call.inputs):
            frozen.update(call.outputs)
    wanted = {x for call in graph.calls if not frozen.issuperset(call.outputs) for x in call.inputs}
    ends = {x for x in wanted | set(graph.outputs) if x in frozen}

    def light(tensor: int, others: set[int]) -> bool:
        """Whether `tensor` follows from `others` without weights."""
        call = producer.get(tensor)
        return (
            call is not None
            and not call.weights
            and all(x in others or light(x, others) for x in call.inputs)
        )

    for tensor in sorted(ends, reverse=True):
        if light(tensor, ends - {tensor}):
            ends.remove(tensor)
    return tuple(sorted(ends))


def calls_between(graph: Graph, start: Sequence[int], end: Sequence[int]) -> list[Call]:
    """List the calls that compute `end` from `start`, in order."""
    needed, chosen = set(end) - set(start), []
    for call in reversed(graph.calls):
        if needed.intersection(call.outputs):
            chosen.append(call)
            needed = (needed - set(call.outputs)) | (set(call.inputs) - set(start))
    if needed:
        raise ValueError(f"tensors {sorted(needed)} do not follow from {sorted(start)}")
    return chosen[::-1]


def submodel(graph: Graph, start: Sequence[int], end: Sequence[int]) -> keras.Model:
    """Build the model from tensors `start` to tensors `end`; it shares the layers of the first."""
    sources = [keras.Input(graph.shapes[i], dtype=graph.dtypes[i]) for i in start]
    tensors = dict(zip(start, sources, strict=True))
    for call in calls_between(graph, start, end):
        args, kwargs = keras.tree.map_structure(
            lambda x: tensors[x.number] if isinstance(x, Slot) else x, (call.args, call.kwargs)
        )
        outputs = keras.tree.flatten(call.operation(*args, **kwargs))
        tensors.update(zip(call.outputs, outputs, strict=True))
    ends = [tensors[i] for i in end]
    return keras.Model(
        sources[0] if len(sources) == 1 else sources, ends[0] if len(ends) == 1 else ends
    )


def fingerprints(graph: Graph, wanted: Sequence[int]) -> dict[int, str]:
    """Hash, for each tensor up to `wanted`, all that decides it: layers, settings, weights.

    Two tensors have the same fingerprint if they are the same function of the model's inputs,
    whatever their layers are called and in whichever model they stand.

    Returns:
        Number of a tensor -> SHA-256 in hexadecimal digits.
    """
    marks = {i: f"input {graph.inputs.index(i)} {graph.dtypes[i]}" for i in graph.inputs}
    for call in calls_between(graph, graph.inputs, wanted):
        digest = hashlib.sha256()
        arguments = keras.tree.map_structure(
            lambda x: marks[x.number] if isinstance(x, Slot) else _plain(x),
            [list(call.args), dict(call.kwargs)],
        )
        kind = type(call.operation)
        facts = [kind.__module__, kind.__qualname__, _settings(call.operation), arguments]
        digest.update(json.dumps(facts, sort_keys=True, default=repr).encode())
        for weight in call.weights:
            value = np.asarray(weight)
            digest.update(repr((value.shape, value.dtype.str)).encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        marks.update({x: f"{digest.hexdigest()} {i}" for i, x in enumerate(call.outputs)})
    return {i: hashlib.sha256(mark.encode()).hexdigest() for i, mark in marks.items()}


def _functional(operation: Any) -> keras.Model | None:
    """Return the functional model that an operation is (or, if Sequential, holds), or None."""
    if isinstance(operation, keras.Sequential):
        operation = operation._functional
    return operation if hasattr(operation, "_nodes_by_depth") else None


def _is_random(layer: keras.Layer) -> bool:
    """Tell whether a layer draws random numbers in training: it then keeps a generator's state."""
    if isinstance(layer, keras.layers.Dropout) and layer.rate == 0:
        return False
    return len(layer.variables) > len(layer.weights)


def _settings(operation: Any) -> dict[str, Any]:
    """Return what an operation was made with, without what does not change its outputs."""
    config = dict(operation.get_config())
    for idle in ("name", "trainable", "seed"):
        config.pop(idle, None)
    return {k: v for k, v in config.items() if not k.endswith(("_initializer", "_regularizer"))}


def _plain(value: Any) -> Any:
    """Make an argument fit for JSON, arrays included."""
    if hasattr(value, "shape"):
        array = np.asarray(value)
        return [str(array.dtype), array.tolist()]
    return value
