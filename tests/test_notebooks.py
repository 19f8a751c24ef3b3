"""The stored notebooks: as their scripts say, executed, small, and of no particular machine.

Plain `pytest` also executes each notebook with nbval; a cell whose output must not change says
`# NBVAL_CHECK_OUTPUT`.
"""

import re

import nbformat
import pytest

from tlkit.lessons import check, lesson_names, matches_source
from tlkit.paths import NOTEBOOKS, ROOT

LESSONS = lesson_names()
ABSOLUTE = re.compile(
    r"(?<![\w.:/<-])/(?:home|Users|root|tmp|opt|usr|var|mnt|private|builds)/\w"
    r"|\b[A-Za-z]:\\\\?(?:Users|Temp|Windows)"
)


@pytest.fixture(scope="module", params=LESSONS)
def lesson(request):
    path = NOTEBOOKS / f"{request.param}.ipynb"
    assert path.exists(), f"{path.name} is missing; make it with: tlkit run {request.param}"
    return path


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def texts(outputs):
    """Every text in the outputs of a cell, images left out."""
    for output in outputs:
        yield output.get("text", "")
        yield from output.get("traceback", [])
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield data


def test_every_notebook_has_a_source():
    assert [problem for problem in check() if "no source" in problem] == []


def test_notebook_agrees_with_its_source(lesson):
    source = NOTEBOOKS / "sources" / f"{lesson.stem}.py"
    assert matches_source(lesson, source) == [], f"refresh it with: tlkit run {lesson.stem}"


def test_every_cell_was_executed_in_order_without_error(lesson):
    cells = code_cells(lesson)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds


def test_cells_are_few_and_short(lesson):
    cells = code_cells(lesson)
    assert len(cells) <= 35
    for cell in cells:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= 25, cell.source


def test_notebook_is_small(lesson):
    assert lesson.stat().st_size <= 700_000
    assert sum(path.stat().st_size for path in NOTEBOOKS.rglob("*.ipynb")) <= 8_000_000


def test_outputs_name_no_folder_of_a_machine(lesson):
    for cell in code_cells(lesson):
        for text in texts(cell.outputs):
            assert not ABSOLUTE.search(text), f"{ABSOLUTE.search(text)} in {text[:200]}"
            assert str(ROOT) not in text


@pytest.mark.parametrize(
    "text", ["in /home/someone/x", "'/tmp/x.png'", r"C:\Users\x", "x=/usr/lib/y"]
)
def test_machine_paths_are_seen(text):
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["</tr>", "tests/tmp/x", "https://a.org/home/x", "a/usr/b", "1/2"])
def test_other_text_is_left_alone(text):
    assert not ABSOLUTE.search(text)
