"""The `tlkit` command. Each subcommand only reads its arguments and calls the package."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlkit.errors import InputError
from tlkit.quiet import import_keras_quietly

if TYPE_CHECKING:
    from tlkit.dataset import Dataset

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A course on CNNs and transfer learning, and the tool that goes with it.",
)


Data = Annotated[str, typer.Argument(help="Name of a data set, or a folder of class folders.")]
Size = Annotated[
    int | None, typer.Option(help="Side of the images in pixels; what the backbones expect.")
]
TrainPerClass = Annotated[
    int | None, typer.Option(min=1, help="Labelled images of each class to train on; all.")
]
SplitSeed = Annotated[int, typer.Option(min=0, help="Decides which image is in which split.")]


@app.command()
def run(
    lessons: Annotated[
        list[str] | None, typer.Argument(help="Lessons such as 07; all if none is given.")
    ] = None,
) -> None:
    """Execute lessons, refresh their notebooks and the ledger, and render pages to site/."""
    from tlkit.lessons import run_lessons

    results = run_lessons(lessons or None)
    if any(result.error for result in results):
        raise typer.Exit(1)


@app.command()
def compare(
    data: Data,
    backbone: Annotated[
        list[str], typer.Option(help="Backbone; repeat for several. See `tlkit doctor`.")
    ] = ["mini_resnet"],  # noqa: B006
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="Strategy; repeat for several. Five if none is given."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each combination.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs for each run.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results; runs/NAME if not given.")
    ] = None,
    size: Size = None,
    train_per_class: TrainPerClass = None,
    split_seed: SplitSeed = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.")] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's learning rate; by strategy and backbone.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of frozen parts: float32, bfloat16, or auto to measure.")
    ] = "float32",
    jobs: Annotated[int, typer.Option(help="Processes on this machine; -1 for one a core.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://HOST:PORT, to do the runs.")
    ] = None,
) -> None:
    """Say which strategy and backbone suit these images: report.html, results.csv, best.keras."""
    import_keras_quietly()
    from tlkit.comparison import COMMON_STRATEGIES
    from tlkit.comparison import compare as compare_runs

    dataset = _load(data, backbone, size, train_per_class, split_seed)
    folder = out or Path("runs") / dataset.name
    comparison = compare_runs(
        dataset,
        backbones=backbone,
        strategies=strategy or COMMON_STRATEGIES,
        seeds=seeds,
        epochs=epochs,
        out=folder,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        n_jobs=jobs,
        scheduler=scheduler,
    )
    _print_table(_means(comparison.table))
    if dataset.skipped:
        typer.echo(f"{len(dataset.skipped)} file(s) skipped; the report lists them.")
    typer.echo(f"\n{comparison.recommendation}\n")
    typer.echo(f"Report, table and model: {folder / 'report.html'}, results.csv, best.keras")


@app.command()
def head(
    data: Data,
    backbone: Annotated[str, typer.Option(help="See `tlkit doctor`.")] = "mini_resnet",
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each setting.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs for each seed.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Folder for trials.csv, to go on from; none if not given.")
    ] = None,
    size: Size = None,
    train_per_class: TrainPerClass = None,
    split_seed: SplitSeed = 0,
) -> None:
    """Search learning rate and weight decay for feature_extraction, beside logistic regression."""
    import_keras_quietly()
    from tlkit.head_search import search_head

    found = search_head(
        _load(data, [backbone], size, train_per_class, split_seed),
        backbone=backbone,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        out=out,
    )
    digits = {"validation_accuracy": 3, "spread": 3, "validation_loss": 3, "seconds": 1}
    view = found.table.head(5).round(digits)
    view["learning_rate"] = view["learning_rate"].map("{:.2g}".format)
    view["weight_decay"] = view["weight_decay"].map("{:g}".format)
    short = {"learning_rate": "rate", "weight_decay": "decay", "spread": "±"}
    short |= {"validation_accuracy": "val.", "validation_loss": "val. loss"}
    _print_table(view.rename(columns=short))
    probe = found.probe
    typer.echo(
        f"\nLogistic regression (C = {probe.C:g}): validation accuracy "
        f"{probe.validation_metrics['accuracy']:.3f}, test accuracy {probe.metrics['accuracy']:.3f}"
    )
    typer.echo(f"Tuned head: test accuracy {found.test_accuracy}\n\n{found.conclusion}")
    if out is not None:
        typer.echo(f"\nAll trials: {out / 'trials.csv'}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A best.keras that `tlkit compare` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="Classes to show for each image.")] = 1,
) -> None:
    """Classify images with a model that `tlkit compare` trained."""
    import_keras_quietly()
    import pandas as pd

    from tlkit.image_files import read_image
    from tlkit.models import load_model

    classifier, facts = load_model(model)
    rows, unreadable = [], []
    for path in images:
        try:
            pixels = read_image(path, tuple(facts["image_size"]))
        except InputError as error:
            unreadable.append(str(error))
            continue
        probabilities = classifier.predict_on_batch(pixels[None])[0]
        for place, position in enumerate(probabilities.argsort()[::-1][:top], start=1):
            rows.append(
                {
                    "image": str(path),
                    "place": place,
                    "class": facts["class_names"][position],
                    "probability": f"{probabilities[position]:.3f}",
                }
            )
    if rows:
        _print_table(pd.DataFrame(rows))
    for message in unreadable:
        typer.echo(f"tlkit: skipped: {message}", err=True)
    if unreadable:
        raise typer.Exit(1)


@app.command()
def pretrain(
    name: Annotated[
        str,
        typer.Argument(
            help="mini_vgg, mini_resnet, mini_inception, mini_xception or mini_mobilenet"
        ),
    ],
    epochs: Annotated[int, typer.Option(min=2, help="Passes over the source task.")] = 10,
    folder: Annotated[
        Path | None, typer.Option(help="Where to write; data/weights if not given.")
    ] = None,
) -> None:
    """Rebuild an embedded backbone's weights from nothing but code and pinned packages."""
    import_keras_quietly()
    from tlkit.mini import MINI

    if name not in MINI:
        raise InputError(f"name={name!r} is not embedded; allowed: {', '.join(MINI)}")
    from tlkit.pretraining import pretrain as pretrain_backbone
    from tlkit.weights import FOLDER

    facts = pretrain_backbone(name, epochs=epochs, folder=folder or FOLDER)
    typer.echo(
        f"{name}: source-task accuracy {facts['source_task_accuracy']:.3f} on held-out images of "
        f"{facts['classes']} classes, {facts['seconds'] / 60:.1f} minutes of training"
    )


@app.command()
def doctor() -> None:
    """Show what this machine has: versions, cores, memory, weights, sandbox."""
    import_keras_quietly()
    from tlkit.machine import describe_backbones, describe_machine

    _print_table(describe_machine())
    _print_table(describe_backbones())


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything instead.")] = False,
) -> None:
    """Show which features of frozen networks are kept on disk, or remove them."""
    from rich.markup import escape

    from tlkit import feature_cache

    folder = feature_cache.folder()
    if clear:
        typer.echo(f"{feature_cache.clear() / 1e6:,.1f} MB freed in {folder}")
        return
    found, limit = feature_cache.entries(), feature_cache.limit()
    if found.empty:
        typer.echo("The cache is empty.")
    else:
        view = found[["about"]].map(escape)
        view["MB"] = found["megabytes"].map("{:,.1f}".format)
        view["last used"] = found["last_used"].dt.strftime("%Y-%m-%d %H:%M")
        _print_table(view)
    typer.echo(
        f"Folder: {folder}\n"
        f"Total: {found['megabytes'].sum():,.1f} MB; at most {limit / 2**30:g} GiB, which "
        f"{feature_cache.LIMIT} sets"
    )


def _load(
    data: str, backbones: list[str], size: int | None, train_per_class: int | None, seed: int
) -> "Dataset":
    """Load images at the given side, or at the largest that one of the backbones expects."""
    from tlkit.backbones import list_backbones
    from tlkit.datasets import load_dataset

    sizes = list_backbones().set_index("name")["input_size"]
    largest = max((int(sizes[name]) for name in backbones if name in sizes), default=64)
    return load_dataset(data, size=size or largest, train_per_class=train_per_class, seed=seed)


def _means(table):
    """Average results.csv over seeds for the terminal."""
    groups = table.groupby(["backbone", "strategy"], sort=False)
    means = groups.agg(
        seeds=("seed", "size"),
        validation=("validation_accuracy", "mean"),
        test=("test_accuracy", "mean"),
        spread=("test_accuracy", "std"),
        seconds=("seconds", "mean"),
        trained=("trainable_parameters", "first"),
    )
    digits = {"validation": 3, "test": 3, "spread": 3, "seconds": 1}
    return means.round(digits).reset_index().rename(columns={"validation": "val.", "spread": "±"})


def _print_table(table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    view = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in table.columns:
        view.add_column(str(column), overflow="fold")
    for row in table.itertuples(index=False):
        view.add_row(*map(str, row))
    Console().print(view)


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2, never a traceback."""
    try:
        app()
    except InputError as error:
        typer.echo(f"tlkit: error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("tlkit: interrupted; the same command goes on from here", err=True)
        sys.exit(130)
