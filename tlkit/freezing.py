"""Freezes a network by stage, reports what is trained, and asserts it afterwards.

In Keras 3 a frozen backbone needs care in three places, and this module takes it:

- `base(x, training=False)` does not keep BatchNormalization in inference mode inside a functional
  model (keras issue 20285). Only `layer.trainable = False` does, so that is what `freeze` sets.
- A change of `trainable` takes effect at the next `compile`.
- Whether it did is not a matter of belief: take a `weight_snapshot` before and after training, and
  let `assert_only_trained` compare them to the last bit.
"""

from collections.abc import Collection
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from tlkit.backbones import STAGES, find_backbone, stages_of
from tlkit.errors import InputError

HEAD = "head"
BATCHNORM_MODES = ("frozen", "update")


def freeze(model: keras.Model, *, until: str | None, batchnorm: str = "frozen") -> keras.Model:
    """Freeze a network from the input up to and including one stage; the rest is trained.

    Compile the model afterwards: Keras reads `trainable` only then.

    Args:
        model: a backbone, or a model that contains one (as `tlkit.fit` returns it).
        until: last frozen stage, "block1" to "block5"; None freezes nothing.
        batchnorm: "frozen" keeps every BatchNormalization layer of the backbone in inference mode,
            also in the stages that are trained; "update" lets those of trained stages learn.

    Returns:
        The same model.

    Raises:
        InputError: an argument is not one of the above, or the model has no known stages.

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> model = load_backbone("mini_vgg", weights=None).model
        >>> table = trainable_report(freeze(model, until="block4"))
        >>> table.loc[table["trainable"] > 0, "stage"].tolist()
        ['block5']
    """
    if until is not None and until not in STAGES:
        raise InputError(f"until={until!r}: give one of {', '.join(STAGES)}, or None")
    first_trained = 0 if until is None else STAGES.index(until) + 1
    return set_trained(model, {*STAGES[first_trained:], HEAD}, batchnorm=batchnorm)


def set_trained(
    model: keras.Model, stages: Collection[str], *, batchnorm: str = "frozen"
) -> keras.Model:
    """Train exactly `stages`, which need not lie side by side; "head" is what is no backbone.

    Args, returns and errors are those of `freeze`.
    """
    unknown = set(stages) - {*STAGES, HEAD}
    if unknown:
        raise InputError(f"stages={sorted(unknown)}: allowed are {', '.join([*STAGES, HEAD])}")
    if batchnorm not in BATCHNORM_MODES:
        raise InputError(f"batchnorm={batchnorm!r}: allowed are {', '.join(BATCHNORM_MODES)}")
    for stage, layers in layers_by_stage(model).items():
        for layer in layers:
            layer.trainable = stage in stages
            if stage != HEAD and is_batchnorm(layer) and batchnorm == "frozen":
                layer.trainable = False
    return model


def layers_by_stage(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """List a model's layers by stage, the input's side first; layers outside it are the "head"."""
    backbone = find_backbone(model)
    layers = {
        stage: [backbone.get_layer(name) for name in names]
        for stage, names in stages_of(backbone).items()
    }
    if backbone is not model:
        outside = (keras.layers.InputLayer, type(backbone))
        layers[HEAD] = [layer for layer in model.layers if not isinstance(layer, outside)]
    return layers


def is_batchnorm(layer: keras.Layer) -> bool:
    """Tell whether a layer keeps moving statistics that training would change."""
    return isinstance(layer, keras.layers.BatchNormalization)


def trainable_report(model: keras.Model) -> pd.DataFrame:
    """Tabulate by stage what would be trained if the model were compiled now.

    Args:
        model: a backbone, or a model that contains one.

    Returns:
        One row a stage: `stage`, `layers` (those with weights), `parameters`, `trainable`
        (parameters that training changes by gradient), `batchnorm` ("none" where there is none,
        "inference" where all are frozen, "update" where all learn, else "mixed").
    """
    rows = []
    for stage, layers in layers_by_stage(model).items():
        modes = {
            "update" if layer.trainable else "inference" for layer in layers if is_batchnorm(layer)
        }
        rows.append(
            {
                "stage": stage,
                "layers": sum(bool(layer.weights) for layer in layers),
                "parameters": sum(layer.count_params() for layer in layers),
                "trainable": sum(
                    int(np.prod(weight.shape))
                    for layer in layers
                    for weight in layer.trainable_weights
                ),
                "batchnorm": "mixed" if len(modes) > 1 else next(iter(modes), "none"),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Snapshot:
    """Every weight of a model at one moment.

    Attributes:
        values: weight's path -> its value.
        stages: weight's path -> its stage.
        batchnorm: paths of the weights and moving statistics of the backbone's BatchNormalization.
    """

    values: dict[str, np.ndarray]
    stages: dict[str, str]
    batchnorm: frozenset[str]


def weight_snapshot(model: keras.Model) -> Snapshot:
    """Copy every weight of a model, to compare with later."""
    values, stages, batchnorm = {}, {}, set()
    for stage, layers in layers_by_stage(model).items():
        for layer in layers:
            for weight in layer.weights:
                values[weight.path] = np.asarray(weight).copy()
                stages[weight.path] = stage
                if stage != HEAD and is_batchnorm(layer):
                    batchnorm.add(weight.path)
    return Snapshot(values, stages, frozenset(batchnorm))


def assert_only_trained(
    before: Snapshot,
    after: Snapshot,
    stages: Collection[str],
    *,
    batchnorm: str = "frozen",
    all_moved: bool = True,
) -> None:
    """Assert that training moved every weight of `stages` and, to the last bit, no other.

    Args:
        before: snapshot from before training.
        after: snapshot of the same model from after it.
        stages: names of the stages that were to be trained; "head" is what is no backbone.
        batchnorm: "frozen" if BatchNormalization was to stay as it was in every stage, "update" if
            it was to learn in the trained ones.
        all_moved: also assert that every weight that was to be trained moved. A network whose
            training fails (dead units, too small a rate) breaks this without any mistake in
            freezing.

    Raises:
        AssertionError: naming the stages and weights that moved and must not have, or that should
            have and did not.

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> model = load_backbone("mini_vgg", weights=None).model
        >>> before = weight_snapshot(model)
        >>> assert_only_trained(before, weight_snapshot(model), stages=[])
    """
    if before.values.keys() != after.values.keys():
        raise InputError("before and after are snapshots of different models")
    strayed, stayed = [], []
    for path, value in before.values.items():
        moved = not np.array_equal(value, after.values[path], equal_nan=True)
        meant = before.stages[path] in stages and not (
            batchnorm == "frozen" and path in before.batchnorm
        )
        if moved and not meant:
            strayed.append(f"{before.stages[path]}: {path}")
        if all_moved and meant and not moved:
            stayed.append(f"{before.stages[path]}: {path}")
    if strayed or stayed:
        raise AssertionError(
            f"trained was to be {sorted(stages)} (batchnorm={batchnorm!r}), but "
            f"{len(strayed)} other weights moved {strayed[:5]} and "
            f"{len(stayed)} of these did not move {stayed[:5]}"
        )
