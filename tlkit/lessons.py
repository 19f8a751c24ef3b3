"""From percent scripts to executed notebooks: what `tlkit run` does.

A lesson is written in notebooks/sources/NN_name.py, a jupytext percent script. Here it becomes
notebooks/NN_name.ipynb: converted, executed cell by cell in a kernel of its own, cleaned of what
differs from one machine to the next, and written only when every cell has succeeded.

`python -m tlkit.lessons --check` tells whether the notebooks agree with their scripts.
"""

import argparse
import functools
import hashlib
import os
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from tlkit.errors import InputError
from tlkit.evidence import LEDGER, claims, read_ledger, tally, update_ledger, write_ledger
from tlkit.paths import NOTEBOOKS, ROOT
from tlkit.site import build_site, tidy_outputs, write_atomically

CELL_SECONDS = 1800  # no lesson needs so long; it ends what would never end
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONHASHSEED": "0",  # sets print in the same order in every run
}


class LessonError(Exception):
    """A lesson could not be executed to its end; the message says in which cell and why."""


@dataclass(frozen=True)
class LessonResult:
    """What came of one lesson."""

    name: str
    cells: int
    seconds: float
    error: str = ""
    unrecorded: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for the terminal; more where the lesson failed."""
        if self.error:
            return f"{self.name}: FAILED after {self.seconds:.0f} s in {self.error}"
        missing = "; recorded nothing for " + ", ".join(self.unrecorded) if self.unrecorded else ""
        return f"{self.name}: {self.cells} cells, {self.seconds:.0f} s{missing}"


def lesson_names(folder: Path = NOTEBOOKS) -> list[str]:
    """Names of all lessons, `00_start_here` first."""
    return sorted(path.stem for path in (folder / "sources").glob("[0-9]*.py"))


def find_lessons(names: Sequence[str] | None = None, *, folder: Path = NOTEBOOKS) -> list[str]:
    """The full names of lessons, in reading order.

    Args:
        names: such as `["07"]` or `["07_transfer_learning"]`; all lessons when empty or None.
        folder: where the notebooks are.

    Raises:
        InputError: a name is no lesson's, or there are no lessons.
    """
    known = lesson_names(folder)
    found = set()
    for name in names or known:
        matches = [own for own in known if name == own or name.zfill(2) == own.split("_")[0]]
        if not matches:
            raise InputError(f"lesson: {name!r} is none of {', '.join(known) or '(no lessons)'}")
        found.update(matches)
    return sorted(found)


def notebook_from_source(path: Path) -> Any:
    """Converts a percent script to a notebook without outputs; the same script, the same notebook.

    Args:
        path: the script, such as notebooks/sources/07_transfer_learning.py.

    Returns:
        A `nbformat.NotebookNode`, whose first cell says that it is generated, and from what.
    """
    import jupytext
    from nbformat.v4 import new_markdown_cell

    notebook = jupytext.read(path, fmt="py:percent")
    origin = f"Generated from notebooks/sources/{path.name}: edit that file"
    note = f"<!-- {origin} -->\n<small>{origin}, then <code>tlkit run {path.stem}</code>.</small>"
    notebook.cells.insert(0, new_markdown_cell(note, metadata={"tags": ["generated"]}))
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)
        seen[cell.source] += 1
        cell.id = hashlib.sha256(f"{seen[cell.source]} {cell.source}".encode()).hexdigest()[:12]
    notebook.nbformat_minor = 5
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=kernel, language_info={"name": "python"})
    return notebook


def matches_source(notebook: Any, path: Path) -> list[str]:
    """Compares the cells of a notebook with the script it was generated from.

    Args:
        notebook: a `NotebookNode`, or the path of one.
        path: the percent script.

    Returns:
        The differences in words; empty where they agree. Outputs are not compared.
    """
    if isinstance(notebook, Path):
        if not notebook.exists():
            return [f"there is no {notebook.name}"]
        notebook = nbformat.read(notebook, as_version=4)
    ours, theirs = notebook.cells, notebook_from_source(path).cells
    differences = []
    if len(ours) != len(theirs):
        differences.append(f"the notebook has {len(ours)} cells, its source makes {len(theirs)}")
    for position, (cell, wanted) in enumerate(zip(ours, theirs, strict=False)):
        for part in ("cell_type", "source", "metadata"):
            if cell[part] != wanted[part]:
                start = textwrap.shorten(wanted.source, 50, placeholder="...")
                differences.append(f"cell {position} ({start}) has another {part}")
                break
    return differences


def check(folder: Path = NOTEBOOKS) -> list[str]:
    """Every notebook that disagrees with its script, and why, in words."""
    sources = {name: folder / "sources" / f"{name}.py" for name in lesson_names(folder)}
    problems = [
        f"{name}.ipynb: {difference}"
        for name, source in sources.items()
        for difference in matches_source(folder / f"{name}.ipynb", source)
    ]
    orphans = [path.name for path in sorted(folder.glob("*.ipynb")) if path.stem not in sources]
    return problems + [f"{name}: there is no source for it" for name in orphans]


def execute(
    notebook: Any, folder: Path, environment: dict[str, str], on_cell: Callable[[], None]
) -> None:
    """Executes a notebook in place, in a kernel of the Python that runs this, and cleans it.

    Args:
        notebook: a `NotebookNode`, whose outputs are replaced.
        folder: the kernel's working directory.
        environment: the kernel's environment variables.
        on_cell: called after each cell.

    Raises:
        LessonError: a cell raised or took too long, or the kernel died.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbclient.output_widget import OutputWidget
    from nbconvert.filters import strip_ansi

    class QuietOutput(OutputWidget):
        def send(self, *arguments: Any, **options: Any) -> None:
            """Keeps what the widget shows; sending it back can hang (nbclient's issue 312)."""

    # Without folders to search, "python3" is this interpreter, whatever kernels are registered.
    manager = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=manager, timeout=CELL_SECONDS, coalesce_streams=True)
    client.widget_registry["@jupyter-widgets/output"]["OutputModel"] = QuietOutput
    # Not client.execute(): its signal handlers turn Ctrl-C into one more failed lesson.
    options = {"cwd": str(folder), "env": environment, "cleanup_kc": True}
    with tempfile.TemporaryFile() as log, client.setup_kernel(stderr=log, **options):
        for position, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, position)
            except CellExecutionError as error:
                reason = strip_ansi(error.traceback)
            except CellTimeoutError:
                reason = f"It took longer than {CELL_SECONDS} s."
            except DeadKernelError:
                log.seek(0)
                reason = f"{log.read().decode(errors='replace')}\nThe kernel died: out of memory?"
            else:
                on_cell()
                continue
            raise LessonError(_report(notebook, position, reason))
        client.set_widgets_metadata()
    tidy_outputs(notebook)


def run_lessons(
    names: Sequence[str] | None = None,
    *,
    site: Path = ROOT / "site",
    write: bool = True,
    folder: Path = NOTEBOOKS,
    ledger: Path = LEDGER,
) -> list[LessonResult]:
    """Executes lessons, refreshes their notebooks and the ledger, and renders all as pages.

    A lesson that fails is reported and keeps its old notebook; the others are still executed.

    Args:
        names: lessons by name or number; all by default.
        site: folder for the pages.
        write: whether to refresh notebooks and ledger, or only the pages.
        folder: where the notebooks are, with their scripts in its folder sources.
        ledger: the ledger of claims.

    Returns:
        One result a lesson; `error` is empty where it succeeded.

    Raises:
        InputError: a name is no lesson's.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(highlight=False, markup=False, soft_wrap=True)
    notebooks = {
        name: notebook_from_source(folder / "sources" / f"{name}.py")
        for name in find_lessons(names, folder=folder)
    }
    results = []
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*bar, console=console, transient=True) as progress:
        for name, notebook in notebooks.items():
            task = progress.add_task(name, total=len(notebook.cells))
            advance = functools.partial(progress.advance, task)
            results.append(_run_one(name, notebook, folder, ledger, write, advance))
            progress.remove_task(task)
            console.print(str(results[-1]))
    failed = {result.name for result in results if result.error}
    shown = {name: notebook for name, notebook in notebooks.items() if name not in failed}
    for name in lesson_names(folder):
        if name not in shown and (folder / f"{name}.ipynb").exists():
            shown[name] = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    rows = claims(ledger)
    index = build_site(dict(sorted(shown.items())), site, rows)
    seconds = sum(result.seconds for result in results)
    console.print(f"lessons executed: {len(results)} in {seconds:.0f} s; read them at {index}")
    console.print("failed:", ", ".join(sorted(failed)) or "none")
    console.print(f"{len(rows)} claims: {tally(rows)}")
    return results


def _run_one(
    name: str, notebook: Any, folder: Path, ledger: Path, write: bool, on_cell: Callable[[], None]
) -> LessonResult:
    """Executes a lesson with a ledger of its own; only success reaches notebook and ledger."""
    started, error, unrecorded = time.perf_counter(), "", []
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / ledger.name
        write_ledger(draft, {c: {**e, "verdict": ""} for c, e in read_ledger(ledger).items()})
        environment = {**os.environ, **_ENVIRONMENT, "TLKIT_LEDGER": str(draft)}
        try:
            execute(notebook, folder, environment, on_cell)
        except LessonError as problem:
            error = str(problem)
        else:
            after = read_ledger(draft)
            recorded = {claim: entry for claim, entry in after.items() if "verdict" in entry}
            unrecorded = [c for c in after if after[c]["lesson"] == name and c not in recorded]
            if write:
                update_ledger(ledger, {**recorded, **{claim: {} for claim in unrecorded}})
                write_atomically(folder / f"{name}.ipynb", nbformat.writes(notebook) + "\n")
    seconds = time.perf_counter() - started
    return LessonResult(name, len(notebook.cells), seconds, error, tuple(unrecorded))


def _report(notebook: Any, position: int, reason: str) -> str:
    """Which cell failed, its source, and the end of the traceback."""
    cell, end = notebook.cells[position], "\n".join(reason.strip().splitlines()[-12:])
    code, end = (textwrap.indent(text, " " * 4) for text in (cell.source, end))
    return f"cell {position} of {len(notebook.cells) - 1}:\n{code}\n\n{end}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tlkit.lessons --check`: exit status 1 where a notebook is out of date."""
    parser = argparse.ArgumentParser(prog="python -m tlkit.lessons", description=main.__doc__)
    parser.add_argument("--check", action="store_true", required=True)
    parser.parse_args(arguments)
    problems = check()
    if problems:
        print(*problems, "Edit notebooks/sources, then refresh with: tlkit run", sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
