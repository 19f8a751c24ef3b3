"""Reads and writes the embedded weights: one float16 file a backbone, and one manifest."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from tlkit.errors import InputError
from tlkit.paths import DATA

FOLDER = DATA / "weights"


def read_manifest(folder: Path = FOLDER) -> dict[str, dict]:
    """Return what is recorded of each embedded backbone; empty before the first pretraining."""
    path = folder / "manifest.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def save_weights(model: keras.Model, facts: dict, folder: Path = FOLDER) -> Path:
    """Write `model`'s weights as float16 and enter `facts` and the file's hash in the manifest.

    Args:
        model: a built model; its name names the file.
        facts: what the manifest says of it, ready for JSON.
        folder: where to write.

    Returns:
        Path of the weights file.
    """
    path = folder / f"{model.name}.npz"
    folder.mkdir(parents=True, exist_ok=True)
    content = _pack({weight.path: weight.numpy() for weight in model.weights})
    _replace(path, content)
    digest = hashlib.sha256(content).hexdigest()
    manifest = read_manifest(folder) | {model.name: facts | {"sha256": digest}}
    text = json.dumps(dict(sorted(manifest.items())), indent=2, ensure_ascii=False)
    _replace(folder / "manifest.json", f"{text}\n".encode())
    return path


def load_weights(model: keras.Model, folder: Path = FOLDER) -> None:
    """Set `model`'s weights to the embedded ones of the same name.

    Raises:
        InputError: the file is missing, or is not the one that the manifest records.
    """
    path = folder / f"{model.name}.npz"
    if not path.exists():
        raise InputError(
            f"no pretrained weights for {model.name!r}: {path} is missing. "
            f"Build them with `tlkit pretrain {model.name}`, or pass weights=None."
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != read_manifest(folder)[model.name]["sha256"]:
        raise InputError(
            f"{path} is not the file that {path.parent / 'manifest.json'} records; restore it "
            f"from the repository, or build it again with `tlkit pretrain {model.name}`."
        )
    with np.load(io.BytesIO(content)) as stored:
        for weight in model.weights:
            weight.assign(stored[weight.path].astype("float32"))


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Pack arrays as an .npz whose bytes depend on nothing but the arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array.astype("float16"))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    return buffer.getvalue()


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
