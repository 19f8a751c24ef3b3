"""Shows how far a comparison is: runs finished, and epochs of the present run."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class RunProgress:
    """Two progress bars on stderr, and one line for each finished run."""

    def __init__(self, *, total: int, epochs: int, shown: bool = True):
        """Expect `total` runs of at most `epochs` epochs."""
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not shown,
        )
        self.runs = self.progress.add_task("runs", total=total)
        self.epochs = self.progress.add_task("epochs", total=epochs)
        self.name = ""

    def __enter__(self) -> "RunProgress":
        """Show the bars."""
        self.progress.start()
        return self

    def __exit__(self, *exception) -> None:
        """Leave the bars as they are."""
        self.progress.stop()

    def start(self, name: str) -> None:
        """Enter a run."""
        self.name = name
        self.progress.reset(self.epochs, description=name)

    def epoch(self, number: int, logs: dict) -> None:
        """Note a finished epoch."""
        self.progress.update(self.epochs, completed=number)

    def finish(self, result: str) -> None:
        """Note a finished run."""
        self.progress.advance(self.runs)
        if not self.progress.disable:
            self.progress.console.print(f"{self.name}: {result}", highlight=False)
