"""Shows how far a comparison is: runs finished, and epochs of the present run."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tlkit.runs import Record


class RunProgress:
    """One progress bar for all runs, one for the epochs of the present run, a line for each result.

    Args:
        total: runs.
        epochs: epochs of a run, at most; None where runs go on elsewhere, unseen.
        shown: False shows nothing.
    """

    def __init__(self, *, total: int, epochs: int | None, shown: bool = True):
        """See the class."""
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not shown,
        )
        self.runs = self.progress.add_task("runs", total=total)
        if epochs is not None:
            self.epochs = self.progress.add_task("epochs", total=epochs)

    def __enter__(self) -> "RunProgress":
        """Show the bars."""
        self.progress.start()
        return self

    def __exit__(self, *exception) -> None:
        """Leave the bars as they are."""
        self.progress.stop()

    def epoch(self, backbone: str, strategy: str, seed: int) -> Callable[[int, dict], None]:
        """Enter a run, and return what notes its epochs."""
        name = f"{backbone} {strategy} seed {seed}"
        self.progress.reset(self.epochs, description=name)
        return lambda number, logs: self.progress.update(self.epochs, completed=number)

    def finish(self, record: Record) -> None:
        """Note a finished run."""
        self.progress.advance(self.runs)
        if not self.progress.disable:
            name = f"{record.backbone} {record.strategy} seed {record.seed}"
            accuracy = record.validation_metrics["accuracy"]
            line = f"{name}: validation accuracy {accuracy:.3f}"
            self.progress.console.print(line, highlight=False)
