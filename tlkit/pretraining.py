"""Pretrains the embedded family on the source task: `tlkit pretrain NAME`."""

import hashlib
import inspect
import platform
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.progress import track

from tlkit import drawing, mini, source_task
from tlkit.paths import cache_folder
from tlkit.weights import FOLDER, save_weights

HELD_OUT = 20  # images a class that measure the source-task accuracy


def draw_source_images(per_class: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """Draw the source task on all cores, once; later calls read it from the cache.

    Returns:
        Memory-mapped uint8 [classes, per_class, size, size, 3].
    """
    recipe = inspect.getsource(drawing) + inspect.getsource(source_task)
    key = hashlib.sha256(repr((recipe, per_class, size, seed)).encode()).hexdigest()[:12]
    path = cache_folder() / f"source_task_{key}.npy"
    if not path.exists():
        count = len(source_task.source_classes())
        unfinished = path.with_suffix(".unfinished")
        images = np.lib.format.open_memmap(
            unfinished, "w+", np.uint8, (count, per_class, size, size, 3)
        )
        jobs = (delayed(source_task.draw_class)(i, per_class, size, seed) for i in range(count))
        drawn = Parallel(n_jobs=-1, return_as="generator")(jobs)
        for position, batch in enumerate(track(drawn, "drawing the source task", total=count)):
            images[position] = batch
        images.flush()
        unfinished.replace(path)
    return np.load(path, mmap_mode="r")


class SourceBatches(keras.utils.PyDataset):
    """Shuffled batches of the source task, each image moved by up to 4 pixels and recoloured."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int, seed: int):
        """Keep `images` uint8 [n, h, w, 3] where they lie; shuffle their order by `seed`."""
        super().__init__()
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(labels))

    def __len__(self) -> int:
        """Count whole batches."""
        return len(self.labels) // self.batch_size

    def __getitem__(self, index: int):
        """Return one batch: float32 [batch, h, w, 3] in [-1, 1] or a little beyond, and labels."""
        chosen = np.sort(self.order[index * self.batch_size :][: self.batch_size])
        images, (height, width) = self.images[chosen], self.images.shape[1:3]
        shift = self.rng.integers(-4, 5, (2, len(chosen), 1))
        rows = np.clip(np.arange(height) + shift[0], 0, height - 1)
        columns = np.clip(np.arange(width) + shift[1], 0, width - 1)
        images = images[np.arange(len(chosen))[:, None, None], rows[:, :, None], columns[:, None]]
        gain = self.rng.uniform(0.8, 1.2, (len(chosen), 1, 1, 3)).astype("float32")
        return (images / np.float32(127.5) - 1) * gain, self.labels[chosen]

    def on_epoch_end(self) -> None:
        """Shuffle again."""
        self.order = self.rng.permutation(len(self.labels))


class Stopwatch(keras.callbacks.Callback):
    """Adds the seconds of each epoch to its log."""

    def on_epoch_begin(self, epoch, logs=None):
        """Start."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stop."""
        logs["seconds"] = round(time.perf_counter() - self.start, 1)


def pretrain(
    name: str,
    *,
    epochs: int = 10,
    per_class: int = 220,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
    folder: Path = FOLDER,
) -> dict:
    """Pretrain one embedded backbone from nothing but code, and write its weights.

    An interrupted call goes on from its last finished epoch when it is called again.

    Args:
        name: a key of `tlkit.mini.MINI`.
        epochs: passes over the source task.
        per_class: images drawn for each class; 20 of them are held out.
        batch_size: images a step.
        learning_rate: peak of the rate, which warms up over one epoch and falls as a cosine.
        seed: of the images' order, their small changes and the initial weights.
        folder: where weights, manifest and training log are written.

    Returns:
        What the manifest says of this backbone.
    """
    images = draw_source_images(per_class)
    classes, size = images.shape[0], images.shape[2]
    train = images[:, HELD_OUT:].reshape(-1, size, size, 3)
    labels = np.repeat(np.arange(classes), per_class - HELD_OUT)

    keras.utils.set_random_seed(seed)
    backbone = mini.build_mini(name)
    features = keras.layers.GlobalAveragePooling2D()(backbone.output)
    logits = keras.layers.Dense(classes, name="source_classes")(features)
    model = keras.Model(backbone.input, logits)
    batches = SourceBatches(train, labels, batch_size, seed)
    steps = len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        (epochs - 1) * steps,
        alpha=0.1,
        warmup_target=learning_rate,
        warmup_steps=steps,
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    state = cache_folder() / f"pretrain_{name}_{epochs}_{per_class}_{seed}"
    log = state.with_suffix(".csv")
    model.fit(
        batches,
        epochs=epochs,
        callbacks=[
            Stopwatch(),
            keras.callbacks.CSVLogger(log, append=True),
            keras.callbacks.BackupAndRestore(state),
        ],
        verbose=2,
    )
    facts = _facts(model, images, pd.read_csv(log), per_class)
    save_weights(backbone, facts, folder)
    pd.read_csv(log).dropna(axis="columns").to_csv(folder / f"{name}.csv", index=False)
    log.unlink()
    return facts


def _facts(model: keras.Model, images: np.ndarray, log: pd.DataFrame, per_class: int) -> dict:
    """Measure the held-out source-task accuracy and describe the run."""
    held_out = images[:, :HELD_OUT].reshape(-1, *images.shape[2:]) / np.float32(127.5) - 1
    right = model.predict(held_out, batch_size=256, verbose=0).argmax(1).reshape(
        -1, HELD_OUT
    ) == np.arange(len(images)).reshape(-1, 1)
    kinds = pd.Series([source_class.kind for source_class in source_task.source_classes()])
    by_kind = pd.Series(right.mean(1)).groupby(kinds.values, sort=False).mean()
    return {
        "source_task_accuracy": round(float(right.mean()), 4),
        "accuracy_by_kind": {kind: round(float(value), 4) for kind, value in by_kind.items()},
        "classes": len(images),
        "training_images": len(images) * (per_class - HELD_OUT),
        "epochs": len(log),
        "seconds": round(float(log["seconds"].sum())),
        "parameters": int(model.count_params() - model.layers[-1].count_params()),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
