"""Saves a trained model as one `.keras` file with its class names inside, and reads it again."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras

from tlkit.errors import InputError

FACTS = "tlkit.json"  # an extra member of the .keras archive; plain Keras passes over it


def save_model(model: keras.Model, path: str | os.PathLike, facts: dict[str, Any]) -> Path:
    """Write a model that plain `keras.saving.load_model` loads, with `facts` beside its weights.

    Args:
        model: pixel values -> probabilities, preprocessing inside. Its weights are written, not
            the state of its optimizer; compile it after loading to train on.
        path: where to write; ends in `.keras`.
        facts: `class_names` and whatever else describes it, ready for JSON.

    Returns:
        The path.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    keras.Model(model.inputs, model.outputs, name=model.name).save(temporary)  # no optimizer
    with zipfile.ZipFile(temporary, "a") as archive:
        archive.writestr(FACTS, json.dumps(facts, ensure_ascii=False, indent=2))
    temporary.replace(path)
    return path


def load_model(path: str | os.PathLike) -> tuple[keras.Model, dict[str, Any]]:
    """Read a model and the facts that `save_model` put beside it.

    Returns:
        (model, facts); facts has at least `class_names`.

    Raises:
        InputError: the file is missing, or `tlkit compare` did not write it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"model={str(path)!r}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(FACTS))
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(
            f"model={str(path)!r} was not written by `tlkit compare`: it holds no class names"
        ) from error
    return keras.saving.load_model(path), facts
