"""Times tlkit against the plain Keras loop: same images, same steps, same initial weights.

    python benchmarks/bench_training.py [--quick] [--json] [--write] [SCENARIO...]

The plain side is the loop of the Keras transfer-learning guide: build, freeze, compile, `fit` on a
`tf.data` pipeline with validation, evaluate. It differs from the guide in one thing: frozen means
frozen, BatchNormalization included, so that both sides train the same function. The sides take
turns in one process. Each tlkit run starts with an empty cache of features; what was traced before
stays, as it does for a user's second seed, and the first, cold run is shown besides. Memory is the
peak of a process of its own, above what it has after its imports.

`--quick` takes fewer epochs and turns, and leaves the comparison with MobileNetV2 out. `--write`
puts the results into benchmarks/RESULTS.md.
"""

import argparse
import functools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from results_file import lines, machine, put

import tlkit
from tlkit import feature_cache
from tlkit.applications import APPLICATIONS, weights_folder
from tlkit.backbones import load_backbone
from tlkit.batches import Batches
from tlkit.classifier import SharedClassifier, build_classifier, shared_classifier
from tlkit.comparison import COMMON_STRATEGIES
from tlkit.dataset import Split
from tlkit.freezing import set_trained
from tlkit.initial import head_weights
from tlkit.prefix import Pixels, features
from tlkit.strategies import allot_epochs, get_strategy
from tlkit.training import _default_rate, fit

IMAGES, HELD_OUT, BATCH, SEEDS = 600, 150, 32, 3


@dataclass(frozen=True)
class Scenario:
    """What is trained, and how long."""

    name: str
    backbone: str
    side: int
    strategies: tuple[str, ...]
    epochs: int
    quick_epochs: int
    turns: int
    quick_turns: int
    bar: float
    seeds: int = 1


SCENARIOS = [
    Scenario("feature_extraction", "mobilenet_v2", 160, ("feature_extraction",), 10, 10, 7, 2, 8.0),
    Scenario("partial", "mobilenet_v2", 160, ("partial",), 10, 3, 5, 1, 1.4),
    Scenario("full", "mobilenet_v2", 160, ("full",), 10, 1, 2, 2, 0.97),
    Scenario("partial_resnet50", "resnet50", 160, ("partial",), 10, 2, 1, 1, 1.4),
    Scenario("comparison_mini", "mini_resnet", 64, COMMON_STRATEGIES, 10, 2, 1, 1, 4.0, SEEDS),
    Scenario("comparison", "mobilenet_v2", 160, COMMON_STRATEGIES, 10, 0, 1, 0, 2.0, SEEDS),
]


def images_of(side):
    """600 training images of wild_digits, 150 to validate, 150 to test."""
    zoom = max(1, side // 40)
    dataset = tlkit.load_dataset(
        "wild_digits", size=side // zoom, train_per_class=IMAGES // 10, seed=0
    )

    def enlarged(split, count):
        images = split.images[:count].repeat(zoom, axis=1).repeat(zoom, axis=2)
        return Split(images, split.labels[:count])

    return replace(
        dataset,
        train=enlarged(dataset.train, IMAGES),
        validation=enlarged(dataset.validation, HELD_OUT),
        test=enlarged(dataset.test, HELD_OUT),
    )


def network_of(scenario, strategy, seed):
    """Pretrained where the weights are at hand, else random; random from scratch."""
    shape = (scenario.side, scenario.side, 3)
    pretrained = get_strategy(strategy).weights == "pretrained" and has_weights(scenario.backbone)
    own_seed = seed if strategy == "scratch" else 0
    return load_backbone(
        scenario.backbone,
        weights="default" if pretrained else None,
        input_shape=shape,
        seed=own_seed,
    )


def has_weights(name):
    """Whether weights can be had without a network."""
    return (
        name not in APPLICATIONS or (weights_folder() / APPLICATIONS[name].weights_file).is_file()
    )


def pipeline(split, seed, steps, epochs):
    """Feed `tf.data` with the batches, in the order, that tlkit's `Batches` draws."""
    drawn = Batches(split.images[:, :1, :1], split.labels, BATCH, seed=seed, steps=steps)
    drawn.on_epoch_end()  # as Keras does before a first epoch
    places = []
    for _ in range(epochs):
        for index in range(steps):
            rows = drawn.passes[index // drawn.per_pass]
            start = index % drawn.per_pass * BATCH
            chosen = rows[start : start + BATCH]
            places.append(np.pad(chosen, (0, BATCH - len(chosen)), constant_values=-1))
        drawn.on_epoch_end()
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def batch(chosen):
        chosen = chosen[chosen >= 0]
        return tf.gather(images, chosen), tf.gather(labels, chosen)

    return (
        tf.data.Dataset.from_tensor_slices(np.array(places)).map(batch).prefetch(tf.data.AUTOTUNE)
    )


def held_out(split):
    data = tf.data.Dataset.from_tensor_slices((split.images, split.labels))
    return data.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def plain(dataset, scenario, strategy, epochs, seed, note=True):
    """Train in the plain Keras way.

    Returns:
        Test accuracy, trained weights after each epoch, the model.
    """
    plan = get_strategy(strategy)
    keras.utils.set_random_seed(seed)
    network = network_of(scenario, strategy, seed)
    model = build_classifier(network, dataset.num_classes, dataset.train.images.shape[1:])
    head = head_weights(network.model.output.shape[-1], dataset.num_classes, seed)
    model.get_layer("classes").set_weights(head)
    history = []
    steps = max(20, -(-IMAGES // BATCH))
    for number, (phase, count) in enumerate(allot_epochs(plan, epochs)):
        set_trained(model, phase.trained, batchnorm="update" if strategy == "scratch" else "frozen")
        model.compile(
            keras.optimizers.Adam(_default_rate(phase, plan, network)),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        keep = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: history.append(
                {v.path: np.asarray(v) for v in model.trainable_variables}
            )
        )
        model.fit(
            pipeline(dataset.train, [seed, number], steps, count),
            epochs=count,
            steps_per_epoch=steps,
            validation_data=held_out(dataset.validation),
            callbacks=[keep] if note else [],
            verbose=0,
        )
    return model.evaluate(held_out(dataset.test), verbose=0)[1], history, model


def ours(dataset, scenario, strategy, epochs, seed):
    """Train with tlkit, which reads pretrained weights once for all its runs."""
    named = strategy == "scratch" or has_weights(scenario.backbone)
    return fit(
        dataset,
        backbone=scenario.backbone if named else random_start(scenario.backbone, scenario.side),
        input_size=scenario.side,
        strategy=strategy,
        epochs=epochs,
        seed=seed,
        batch_size=BATCH,
        patience=epochs,
    )


@functools.lru_cache(maxsize=1)
def random_start(name, side):
    """Stand in for pretrained weights that are not on this machine."""
    return load_backbone(name, weights=None, input_shape=(side, side, 3), seed=0)


def seconds_of(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def weight_difference(run, history):
    """Largest difference of a trained weight at the epoch that tlkit chose."""
    theirs = history[run.best_epoch - 1]
    mine = {v.path: np.asarray(v) for v in run.model.trainable_variables}
    shared_paths = mine.keys() & theirs.keys()
    assert len(shared_paths) == len(theirs), "the two sides trained different weights"
    return max(float(np.abs(mine[path] - theirs[path]).max()) for path in theirs)


def one_strategy(scenario, dataset, epochs, turns):
    """Let the two sides take turns with one strategy."""
    strategy = scenario.strategies[0]
    feature_cache.clear()
    cold, _ = seconds_of(lambda: ours(dataset, scenario, strategy, epochs, 0))
    warm, _ = seconds_of(lambda: ours(dataset, scenario, strategy, epochs, 1))
    limit = bare_limit(scenario, dataset, epochs) if strategy == "partial" else None
    ratios, plain_seconds, our_seconds, differences, accuracies = [], [], [], [], []
    limit_ratios = []
    for turn in range(turns):
        first, (_, history, model) = seconds_of(
            lambda: plain(dataset, scenario, strategy, epochs, turn)  # noqa: B023
        )
        feature_cache.clear()
        second, run = seconds_of(lambda: ours(dataset, scenario, strategy, epochs, turn))  # noqa: B023
        if limit:
            feature_cache.clear()
            limit_ratios.append(second / seconds_of(limit)[0])
        ratios.append(first / second)
        plain_seconds.append(first)
        our_seconds.append(second)
        differences.append(weight_difference(run, history))
        for variable in model.trainable_variables:  # at the epoch that tlkit chose
            variable.assign(history[run.best_epoch - 1][variable.path])
        accuracy = model.evaluate(held_out(dataset.test), verbose=0)[1]
        accuracies.append(run.metrics["accuracy"] - accuracy)
    return {
        "speedup": spread(ratios),
        "plain_seconds": spread(plain_seconds),
        "tlkit_seconds": spread(our_seconds),
        "tlkit_cold_seconds": cold,
        "tlkit_second_seed_seconds": warm,
        "max_weight_difference": max(differences),
        "accuracy_difference": float(np.mean(accuracies)),
        "seed_spread": None,
        "limit_ratio": spread(limit_ratios) if limit else None,
    }


def bare_limit(scenario, dataset, epochs):
    """Prepare what `partial` cannot do without.

    Returns:
        A function that does one prefix pass over an empty cache and trains the bare suffix in
        plain Keras on the tensors that come out. What it traces is traced already.
    """
    network = network_of(scenario, "partial", 0)
    shape = tuple(dataset.train.images.shape[1:])
    own = SharedClassifier(build_classifier(network, dataset.num_classes, shape))
    trainer = own.trainer(get_strategy("partial").trained, "frozen")
    suffix, steps = trainer.model, max(20, -(-IMAGES // BATCH))
    suffix.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")

    def run(count=epochs):
        splits = (dataset.train, dataset.validation, dataset.test)
        train, validation, test = (
            Split(np.array(features(own, trainer.cut, Pixels(split.images))[0]), split.labels)
            for split in splits
        )
        suffix.fit(
            pipeline(train, [0, 0], steps, count),
            epochs=count,
            steps_per_epoch=steps,
            validation_data=held_out(validation),
            verbose=0,
        )
        suffix.evaluate(held_out(test), verbose=0)

    run(1)
    return run


def whole_comparison(scenario, dataset, epochs, turns):
    """Let the two sides take turns with five strategies and three seeds."""
    ratios, plain_seconds, our_seconds, mine, theirs = [], [], [], [], []
    for _ in range(turns):
        first, accuracies = seconds_of(
            lambda: {
                (strategy, seed): plain(dataset, scenario, strategy, epochs, seed, note=False)[0]
                for strategy in scenario.strategies
                for seed in range(scenario.seeds)
            }
        )
        feature_cache.clear()
        shared_classifier.cache_clear()
        second, runs = seconds_of(
            lambda: {
                (strategy, seed): ours(dataset, scenario, strategy, epochs, seed)
                for strategy in sorted(scenario.strategies, key=lambda name: name != "partial")
                for seed in range(scenario.seeds)
            }
        )
        ratios.append(first / second)
        plain_seconds.append(first)
        our_seconds.append(second)
        theirs.append([accuracies[key] for key in sorted(accuracies)])
        mine.append([runs[key].metrics["accuracy"] for key in sorted(accuracies)])
    by_seed = np.array(theirs[0]).reshape(len(scenario.strategies), scenario.seeds)
    return {
        "speedup": spread(ratios),
        "plain_seconds": spread(plain_seconds),
        "tlkit_seconds": spread(our_seconds),
        "max_weight_difference": None,
        "accuracy_difference": float(np.mean(mine) - np.mean(theirs)),
        "seed_spread": float(by_seed.std(axis=1, ddof=1).mean()),
        "least_seconds": least_seconds(scenario, dataset, epochs),
    }


def least_seconds(scenario, dataset, epochs):
    """Seconds that the steps which train everything need at the least, whatever the loop.

    A bare compiled forward and backward pass over a batch that lies ready: no optimiser, feeding,
    validation, tracing or prefix.
    """
    network = network_of(scenario, "full", 0)
    shape = tuple(dataset.train.images.shape[1:])
    model = build_classifier(network, dataset.num_classes, shape)
    set_trained(model, get_strategy("full").trained)
    images = tf.constant(dataset.train.images[:BATCH])
    labels = tf.constant(dataset.train.labels[:BATCH])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = model(tf.cast(images, "float32"), training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, outputs))
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    step()
    seconds = min(seconds_of(step)[0] for _ in range(10))
    steps = max(20, -(-IMAGES // BATCH))
    everything = set(get_strategy("full").trained)
    whole_epochs = sum(
        count
        for strategy in scenario.strategies
        for phase, count in allot_epochs(get_strategy(strategy), epochs)
        if set(phase.trained) == everything
    )
    return seconds * steps * whole_epochs * scenario.seeds


def spread(values):
    """Median, least and largest."""
    return {
        "median": float(np.median(values)),
        "low": float(min(values)),
        "high": float(max(values)),
    }


def peak_memory(scenario, side):
    """Peak of a process that only does one side, in MiB above its imports."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, scenario.name, "--memory-of", side]
        environment = {**os.environ, "TLKIT_CACHE": cache}
        output = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout
    return float(output.split()[-1])


def measure_memory(scenario, side):
    """Do one side for one epoch in this process, and print its peak above imports and images."""
    dataset = images_of(scenario.side)
    before = peak()
    for strategy in scenario.strategies:
        (plain if side == "plain" else ours)(dataset, scenario, strategy, 1, 0)
    print(peak() - before)


def peak():
    """Return the most memory that this process ever held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux getrusage counts what the parent held when it forked
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def between(value):
    """Show what `spread` returns."""
    return f"**{value['median']:.2f}** ({value['low']:.2f} to {value['high']:.2f})"


HEAD = [
    "| what | backbone | epochs | speedup (least to largest) | bar | plain, s | tlkit, s | "
    "first run, s | second seed, s | times its limit | weights differ by | accuracy differs by | "
    "memory plain, tlkit (MiB) |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
]


def table_line(row):
    """Show one result as a line of a Markdown table."""
    show = lambda value, digits=1: "" if value is None else f"{value:.{digits}f}"  # noqa: E731
    difference, limit = row["max_weight_difference"], row.get("limit_ratio")
    cells = [
        row["scenario"],
        f"{row['backbone']} at {row['side']} px",
        row["epochs"],
        between(row["speedup"]),
        row["bar"],
        show(row["plain_seconds"]["median"]),
        show(row["tlkit_seconds"]["median"]),
        show(row.get("tlkit_cold_seconds")),
        show(row.get("tlkit_second_seed_seconds")),
        between(limit) if limit else "",
        "" if difference is None else f"{difference:.1e}",
        f"{row['accuracy_difference']:+.4f}",
        f"{row['peak_memory_mib']['plain']:.0f}, {row['peak_memory_mib']['tlkit']:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def note(row):
    """Say how far a whole comparison is from what its arithmetic needs."""
    return (
        f"{row['scenario']}: the steps that train everything need {row['least_seconds']:.1f} s at "
        f"the least (bare passes, no optimiser), so at most "
        f"{row['plain_seconds']['median'] / row['least_seconds']:.1f} times is possible at this "
        f"cost of a step; accuracy varies by {row['seed_spread']:.4f} from seed to seed, and the "
        "plain loop takes its last epoch where tlkit takes the best on validation."
    )


def write(rows):
    """Put results into RESULTS.md; those of other scenarios stay as they are."""
    names = [scenario.name for scenario in SCENARIOS]
    shown, notes = {}, {}
    for line in lines("bench_training"):
        for name in names:
            if line.startswith(f"| {name} |"):
                shown[name] = line
            elif line.startswith(f"{name}: "):
                notes[name] = line
    shown |= {row["scenario"]: table_line(row) for row in rows}
    notes |= {row["scenario"]: note(row) for row in rows if row.get("least_seconds")}
    body = [*HEAD, *(shown[n] for n in names if n in shown)]
    ends = [notes[n] for n in names if n in notes]
    title = f"`python benchmarks/bench_training.py --write`, lately on {machine()}:"
    put("bench_training", "\n".join([title, "", *body, "", "\n\n".join(ends)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", help=", ".join(s.name for s in SCENARIOS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--memory-of", choices=("plain", "tlkit"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    chosen = [s for s in SCENARIOS if not given.scenarios or s.name in given.scenarios]
    if given.memory_of:
        return measure_memory(chosen[0], given.memory_of)
    if given.quick:
        chosen = [scenario for scenario in chosen if scenario.quick_turns]
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TLKIT_CACHE"] = cache
        for scenario in chosen:
            epochs = scenario.quick_epochs if given.quick else scenario.epochs
            turns = scenario.quick_turns if given.quick else scenario.turns
            dataset = images_of(scenario.side)
            measure = one_strategy if len(scenario.strategies) == 1 else whole_comparison
            start = time.perf_counter()
            row = {
                "scenario": scenario.name,
                "backbone": scenario.backbone,
                "weights": "pretrained" if has_weights(scenario.backbone) else "random",
                "side": scenario.side,
                "epochs": epochs,
                "turns": turns,
                "bar": scenario.bar,
                **measure(scenario, dataset, epochs, turns),
                "peak_memory_mib": {
                    side: peak_memory(scenario, side) for side in ("plain", "tlkit")
                },
            }
            rows.append(row)
            print(f"{scenario.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
            if given.write:  # after each, so that an interrupted run keeps what it has
                write(rows)
    print(machine(), "", *HEAD, *map(table_line, rows), "", sep="\n")
    print(*(note(row) for row in rows if row.get("least_seconds")), sep="\n")
    if given.json:
        print(json.dumps({"machine": machine(), "results": rows}))
    return None


if __name__ == "__main__":
    main()
