import contextlib
import io
import json
import os
import re
import shutil
import textwrap

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tlkit import evidence, lessons, site
from tlkit.errors import InputError
from tlkit.paths import ROOT

DOT = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQMAAAAl21bKAAAAA1BMVEUAAACnej3aAAAACklEQVR42mNg"
    "AAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)
FAILING = """\
    # %% [markdown]
    # # A lesson that fails

    # %%
    from tlkit import evidence

    evidence.record("B1", value=1.0, verdict="holds");

    # %%
    numbers = [1, 2]
    print("[before]")
    numbers[7]

    # %%
    print("never reached")
    """

WORKING = r"""
    # %% [markdown]
    # # A lesson that *works* & ends
    #
    # You will see **one** figure, in [this](03_failing.ipynb) way. Minutes on two cores: 1 minute.
    #
    # $$ \hat{\theta} = \arg\min_\theta L(\theta) $$
    #
    # Inline $x < y$ and [Keras](https://keras.io).

    # %% alt="A bar of height one"
    import matplotlib.pyplot as plt

    plt.figure(figsize=(1, 1), dpi=40)
    plt.bar([0], [1])
    plt.show()

    # %% tags=["an-own-tag"]
    import os
    import sys

    from tlkit import evidence

    print("2026-01-01 10:00:00.1: I tensorflow/core/util/port.cc:153] oneDNN", file=sys.stderr)
    print(os.getcwd().endswith("notebooks"), evidence.__file__)
    evidence.record("A10.1", value=0.3, low=0.2, high=0.4, verdict="holds")

    # %%
    import ipywidgets


    def show(labels=10):
        print("labels", labels)


    ipywidgets.interact(show, labels=(5, 100, 5));
    """


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Two tiny lessons after one run: (folder, results, what was printed)."""
    folder = tmp_path_factory.mktemp("course")
    sources = folder / "notebooks" / "sources"
    sources.mkdir(parents=True)
    (sources / "03_failing.py").write_text(textwrap.dedent(FAILING))
    (sources / "07_transfer_learning.py").write_text(textwrap.dedent(WORKING).lstrip())
    shutil.copy(evidence.LEDGER, folder / "claims.toml")
    stale = {"verdict": "holds", "value": 9.0}
    evidence.update_ledger(folder / "claims.toml", {"A10.2": stale, "B1": stale})
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        results = run(folder)
    return folder, results, printed.getvalue()


def run(folder, names=None, **options):
    options = {"site": folder / "site", **options}
    return lessons.run_lessons(
        names, folder=folder / "notebooks", ledger=folder / "claims.toml", **options
    )


def test_a_failing_lesson_is_told_and_the_others_go_on(course):
    folder, (failing, working), printed = course
    assert "IndexError: list index out of range" in failing.error
    assert "cell 3 of 4" in failing.error
    assert "numbers[7]" in failing.error
    assert "\x1b" not in failing.error
    assert working.error == ""
    assert working.cells == 5
    assert not (folder / "notebooks" / "03_failing.ipynb").exists()
    assert (folder / "notebooks" / "07_transfer_learning.ipynb").exists()
    assert "03_failing: FAILED" in printed
    assert "[before]" in printed
    assert "failed: 03_failing" in printed
    assert f"{evidence.tally(evidence.claims(folder / 'claims.toml'))}" in printed
    assert "index.html" in printed


def test_a_kernel_that_dies_is_told_with_its_last_words(tmp_path):
    code = "import os\nos.write(2, b'last words\\n')\nos.abort()"
    notebook = new_notebook(cells=[new_code_cell(code)])
    with pytest.raises(lessons.LessonError, match=r"(?s)os\.abort.*\n +last words\n.*kernel died"):
        lessons.execute(notebook, tmp_path, dict(os.environ), lambda: None)


def test_only_a_lesson_that_succeeds_reaches_the_ledger(course):
    folder, (_, working), _ = course
    entries = evidence.read_ledger(folder / "claims.toml")
    assert entries["A10.1"]["value"] == 0.3
    assert "value" not in entries["A10.2"], "an old measurement that was not repeated must go"
    own = {n for n, e in entries.items() if e["lesson"] == working.name and "verdict" not in e}
    assert set(working.unrecorded) == own
    assert "A10.2" in working.unrecorded


def test_executed_notebook_is_clean(course):
    folder, _, _ = course
    notebook = nbformat.read(folder / "notebooks" / "07_transfer_learning.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    assert "edit that file" in notebook.cells[0].source
    _, _, figure, recorded, widget = notebook.cells
    assert "image/png" in figure.outputs[0].data
    assert recorded.metadata == {"tags": ["an-own-tag"]}
    assert recorded.outputs[0].text == "True tlkit/tlkit/evidence.py\n"
    assert [output.get("name") for output in recorded.outputs] == ["stdout", None]
    assert [output.text for output in widget.outputs] == ["labels 10\n"]
    text = (folder / "notebooks" / "07_transfer_learning.ipynb").read_text()
    assert "iopub" not in text
    assert str(ROOT) not in text


def test_running_again_changes_no_byte(course):
    folder, _, _ = course
    files = [folder / "claims.toml", folder / "notebooks" / "07_transfer_learning.ipynb"]
    before = [path.read_bytes() for path in files]
    (result,) = run(folder, ["07"])
    assert result.error == ""
    assert [path.read_bytes() for path in files] == before


def test_without_write_only_the_pages_change(course, monkeypatch, tmp_path):
    folder, _, _ = course
    files = [folder / "claims.toml", *(folder / "notebooks").glob("*.ipynb")]
    before = [path.read_bytes() for path in files]
    monkeypatch.setattr(lessons, "execute", lambda *arguments: None)
    run(folder, ["07"], write=False, site=tmp_path / "new" / "site")
    assert [path.read_bytes() for path in files] == before
    assert (tmp_path / "new" / "site" / "07_transfer_learning.html").exists()


def test_an_interrupt_keeps_what_is_finished(course, monkeypatch, tmp_path):
    shutil.copytree(course[0] / "notebooks" / "sources", tmp_path / "notebooks" / "sources")
    shutil.copy(course[0] / "claims.toml", tmp_path)

    def execute(notebook, *arguments):
        if "works" in notebook.cells[1].source:
            raise KeyboardInterrupt

    monkeypatch.setattr(lessons, "execute", execute)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    files = {path.name for path in (tmp_path / "notebooks").iterdir()}
    assert files == {"03_failing.ipynb", "sources"}


def test_pages_load_nothing_from_the_network(course):
    pages = list((course[0] / "site").glob("*.html"))
    assert {page.stem for page in pages} == {"index", "ledger", "07_transfer_learning"}
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert site.remote_sources(html) == []
        assert "require.min.js" not in html
        assert "MathJax" not in html
        assert "prefers-color-scheme: dark" in html
        assert 'name="viewport"' in html


def test_remote_sources_are_seen():
    seen = [
        '<script src="https://cdn.example/x.js"></script>',
        "<link rel=stylesheet href=//cdn.example/x.css>",
        "<img alt='' src='http://example.org/x.png'/>",
        "<style>@import url(https://example.org/x.css);</style>",
    ]
    assert all(len(site.remote_sources(html)) == 1 for html in seen)
    quiet = '<a href="https://keras.io">x</a><img src="x.png"><math xmlns="http://www.w3.org/">'
    assert site.remote_sources(quiet) == []


def test_lesson_page(course):
    html = (course[0] / "site" / "07_transfer_learning.html").read_text(encoding="utf-8")
    assert "<title>A lesson that works &amp; ends</title>" in html
    assert html.count("<math") == 2
    assert "$" not in re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    assert 'href="03_failing.html"' in html
    assert 'href="https://keras.io"' in html
    assert 'alt="A bar of height one"' in html
    assert "edit that file" not in html
    assert 'href="index.html"' in html


def test_index_lists_the_lessons(course):
    html = (course[0] / "site" / "index.html").read_text(encoding="utf-8")
    assert "A lesson that works &amp; ends" in html
    assert "You will see one figure, in this way." in html
    assert "1 min" in html
    ledger = (course[0] / "site" / "ledger.html").read_text(encoding="utf-8")
    assert 'id="A10.1"' in ledger
    assert 'href="07_transfer_learning.html"' in ledger


def test_neighbouring_pages_are_linked(tmp_path):
    texts = ("# One <first>\n\nBegin.", "# 01 Two", "Three has no heading")
    books = {
        f"0{number}_x": new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        for number, text in enumerate(texts)
    }
    site.build_site(books, tmp_path, [])
    first, second = ((tmp_path / f"0{n}_x.html").read_text(encoding="utf-8") for n in (0, 1))
    assert 'rel="prev"' not in first
    assert first.count('<a href="01_x.html" rel="next">') == 2
    assert second.count('<a href="00_x.html" rel="prev">') == 2
    assert "One &lt;first&gt;" in second
    assert ">Two →" in first
    assert "02_x" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("latex", [r"\frac{1}{2} + \alpha_i", r"\begin{cases}1\\2\end{cases}"])
def test_formulas_become_mathml(latex):
    assert site.mathml(latex, "block").startswith("<math")


@pytest.mark.parametrize("latex", [r"\nosuchcommand <x>", "x_{"])
def test_a_formula_beyond_the_converter_stays_readable(latex):
    html = site.mathml(latex)
    assert html.startswith("<code>")
    assert "<x>" not in html


def test_tidy_outputs_drops_noise_and_paths():
    def stream(text, name="stderr"):
        return new_output("stream", name=name, text=text)

    cell = new_code_cell(
        outputs=[
            stream("WARNING: All log messages before absl::InitializeLog() is called\n"),
            stream("I0000 00:00:17.0 cpu_feature_guard.cc] x\nkept\nE0000 00:00:1 cuda\n"),
            stream(f"saved {ROOT}{os.sep}runs/x.html\n", "stdout"),
            stream("/tmp/ipykernel_12/345.py:3: UserWarning: careful\n"),
            new_output("display_data", data={"text/plain": f"'{ROOT}{os.sep}a'", "image/png": DOT}),
        ],
        metadata={"execution": {"iopub.status.busy": "2026-01-01"}},
    )
    site.tidy_outputs(new_notebook(cells=[cell]))
    texts = [output.get("text") for output in cell.outputs]
    assert texts == [
        "kept\n",
        "saved tlkit/runs/x.html\n",
        "<cell>:3: UserWarning: careful\n",
        None,
    ]
    assert cell.outputs[-1].data == {"text/plain": "'tlkit/a'", "image/png": DOT}
    assert cell.metadata == {}


def test_a_widget_without_outputs_keeps_its_text():
    view = {"model_id": "m", "version_major": 2, "version_minor": 0}
    data = {"text/plain": "IntSlider(value=1)", site._VIEW: view}
    notebook = new_notebook(
        cells=[new_code_cell(outputs=[new_output("display_data", data=data)])],
        metadata={"widgets": {site._STATE: {"state": {"m": {"state": {}}}}}},
    )
    site.tidy_outputs(notebook)
    assert notebook.cells[0].outputs[0].data == {"text/plain": "IntSlider(value=1)"}
    assert notebook.metadata == {}


def test_lessons_are_found_by_number_and_name(course):
    folder = course[0] / "notebooks"
    both = ["03_failing", "07_transfer_learning"]
    assert lessons.find_lessons(folder=folder) == both
    assert lessons.find_lessons(["07", "3", "03_failing"], folder=folder) == both
    with pytest.raises(InputError, match="'99' is none of 03_failing, 07_transfer_learning"):
        lessons.find_lessons(["99"], folder=folder)


def test_the_same_script_gives_the_same_notebook(course):
    source = course[0] / "notebooks" / "sources" / "07_transfer_learning.py"
    first, second = (nbformat.writes(lessons.notebook_from_source(source)) for _ in range(2))
    assert first == second
    ids = [cell["id"] for cell in json.loads(first)["cells"]]
    assert len(set(ids)) == len(ids)


def test_differences_are_told_in_words(course):
    folder = course[0] / "notebooks"
    source = folder / "sources" / "07_transfer_learning.py"
    assert lessons.matches_source(folder / "07_transfer_learning.ipynb", source) == []
    notebook = lessons.notebook_from_source(source)
    notebook.cells[2].source += "\nplt.close()"
    notebook.cells[3].metadata.clear()
    del notebook.cells[4]
    count, changed, untagged = lessons.matches_source(notebook, source)
    assert count == "the notebook has 4 cells, its source makes 5"
    assert changed.startswith("cell 2 (import matplotlib")
    assert changed.endswith("has another source")
    assert untagged.endswith("has another metadata")
    problems = lessons.check(folder)
    assert problems == ["03_failing.ipynb: there is no 03_failing.ipynb"]


def test_check_fails_where_a_notebook_is_out_of_date(monkeypatch, capsys):
    monkeypatch.setattr(lessons, "check", lambda: ["07.ipynb: cell 2 has another source"])
    assert lessons.main(["--check"]) == 1
    assert "cell 2 has another source" in capsys.readouterr().out
    monkeypatch.setattr(lessons, "check", lambda: [])
    assert lessons.main(["--check"]) == 0
