"""What a reader sees of executed lessons: tidy outputs, and pages that need no network.

The pages are nbconvert's, in JupyterLab's looks, light or dark as the reader's system is. Formulas
become MathML, which browsers draw themselves, so that no script has to be loaded.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from tlkit.paths import ROOT
from tlkit.small_png import shrink_png

# What TensorFlow and absl write to stderr when they start, whatever the log level.
_NOISE = re.compile(
    r"[IWEF]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWEF] |WARNING: All log messages before absl|"
    r"To enable the following instructions"
)
_VIEW, _STATE = (f"application/vnd.jupyter.widget-{kind}+json" for kind in ("view", "state"))
_REMOTE = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*?"
    r"\b(?:src|href|data)\s*=\s*[\"']?(?:https?:)?//[^\s\"'>]+|@import[^;]*//[^;]+",
    re.IGNORECASE,
)

_LESSON = """\
{% extends "lab/index.html.j2" %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block html_head_css %}
<style media="(prefers-color-scheme: dark)">{{ resources.tlkit.dark }}</style>
{{ resources.tlkit.style }}
{% endblock %}
{% block body_header %}{{ super() }}{{ resources.tlkit.links }}{% endblock %}
{% block body_footer %}{{ resources.tlkit.links }}{{ super() }}{% endblock %}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output">
<img alt="{{ cell.metadata.get('alt', 'Figure described in the text beside it') | e }}"
 src="data:image/png;base64,{{ output.data['image/png'] | replace('\\n', '') }}">
</div>
{% endblock %}
{% block data_latex scoped %}
<div class="jp-RenderedLatex jp-OutputArea-output">
{{ output.data['text/latex'] | markdown2html }}
</div>
{% endblock %}
"""


@dataclass(frozen=True)
class Lesson:
    """What the index says of a lesson."""

    name: str
    title: str
    summary: str
    minutes: str

    @property
    def page(self) -> str:
        """File name of its page."""
        return f"{self.name}.html"


def tidy_outputs(notebook: Any) -> None:
    """Leaves in a notebook's outputs what a reader wants and what no machine writes differently.

    Dropped are execution times, TensorFlow's start-up messages and the names of this machine's
    folders. A widget, which needs a kernel, gives way to what it shows at its defaults.
    """
    states = notebook.metadata.pop("widgets", {}).get(_STATE, {}).get("state", {})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            outputs = [output for shown in cell.outputs for output in _static(shown, states)]
            cell.outputs = [output for output in map(_tidy, outputs) if output is not None]


def build_site(
    notebooks: Mapping[str, Any], folder: Path, claims: Sequence[Mapping[str, Any]]
) -> Path:
    """Writes a page for each lesson, an index and the ledger of claims.

    Args:
        notebooks: executed notebooks by lesson name, in reading order.
        folder: where to write; made if missing.
        claims: rows of the ledger, from `tlkit.evidence.claims`.

    Returns:
        The path of the index.
    """
    lessons = [describe(name, notebook) for name, notebook in notebooks.items()]
    for position, lesson in enumerate(lessons):
        previous = lessons[position - 1] if position else None
        following = lessons[position + 1] if position + 1 < len(lessons) else None
        links = _page_parts().links(previous, following)
        page = lesson_page(notebooks[lesson.name], lesson.title, links=str(links))
        write_atomically(folder / lesson.page, page)
    for name in ("index.html", "ledger.html"):
        page = templates().get_template(f"{name}.j2").render(lessons=lessons, claims=claims)
        write_atomically(folder / name, page)
    return folder / "index.html"


def lesson_page(notebook: Any, title: str, *, links: str = "") -> str:
    """An executed notebook as one HTML page that loads nothing from anywhere.

    Args:
        notebook: a `NotebookNode`.
        title: the page's title.
        links: HTML of the links to other pages, shown at the top and the bottom.

    Returns:
        The page.
    """
    page_notebook = notebook.copy()
    page_notebook.cells = [
        c for c in notebook.cells if "generated" not in c.metadata.get("tags", [])
    ]
    page_notebook.metadata = {**notebook.metadata, "title": title}
    exporter = _exporter()
    dark = exporter.environment.loader.get_source(exporter.environment, "static/theme-dark.css")[0]
    parts = {"dark": dark, "style": str(_page_parts().style()), "links": links}
    html, _ = exporter.from_notebook_node(page_notebook, resources={"tlkit": parts})
    return re.sub(r'(href="(?!\w+:)[^"]*)\.ipynb(["#])', r"\1.html\2", html)


def describe(name: str, notebook: Any) -> Lesson:
    """Title, first sentence and minutes of a lesson, read from the start of its text."""
    text = "\n\n".join(
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "markdown" and "generated" not in cell.metadata.get("tags", [])
    )
    heading = re.search(r"^# +(?:\d\d\W+)?(.+)$", text, re.MULTILINE)
    rest = text[heading.end() :] if heading else text
    paragraph = next((p for p in re.split(r"\n\s*\n", rest) if re.match(r"\s*[\w*_`(]", p)), "")
    sentence = re.match(r".*?[.?!](?=\s|$)|.*", _plain(paragraph))
    minutes = re.search(r"(\d+(?:\.\d+)?)\s*(?:min\b|minutes?\b)", text)
    return Lesson(
        name=name,
        title=_plain(heading[1]) if heading else name,
        summary=sentence[0] if sentence else "",
        minutes=minutes[1] if minutes else "",
    )


def remote_sources(html: str) -> list[str]:
    """Whatever a page would load from the network: scripts, styles, images. Links do not count.

    Example:
        >>> remote_sources('<a href="https://keras.io">Keras</a><img src="data:image/png,...">')
        []
    """
    return _REMOTE.findall(html)


def mathml(latex: str, display: str = "inline") -> str:
    r"""A formula as MathML, or as LaTeX text where the converter cannot read it.

    Example:
        >>> mathml(r"\alpha")[-38:]
        '<mrow><mi>&#x003B1;</mi></mrow></math>'
    """
    from latex2mathml.converter import convert

    try:
        result = convert(
            re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", latex), display=display
        )
    except Exception:  # the library raises many kinds; a page with one raw formula beats no page
        result = "<mi>\\"
    return f"<code>{escape(latex)}</code>" if "<mi>\\" in result else result


@cache
def templates() -> Any:
    """The Jinja environment of the pages; it escapes every value."""
    import jinja2

    return jinja2.Environment(loader=jinja2.PackageLoader("tlkit"), autoescape=True)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file under a temporary name beside it, then renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(markdown: str) -> str:
    """Markdown on one line, without links, emphasis and code marks."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"(?<!\w)[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}(?!\w)", "", text).split())


def _page_parts() -> Any:
    return templates().get_template("index.html.j2").module


def _exporter() -> Any:
    """The exporter of nbconvert with formulas as MathML and without prompts."""
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def inline_math(self, body: str) -> str:
            return mathml(body)

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def markdown(source: str) -> str:
        return MarkdownWithMath(renderer=Renderer(escape=False)).render(source)

    return HTMLExporter(
        raw_template=_LESSON,
        filters={"markdown2html": markdown},
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )


def _static(output: Any, states: Mapping[str, Any]) -> Iterator[Any]:
    """An output as it is; for a widget, what the widget shows while nobody touches it."""
    model = output.get("data", {}).pop(_VIEW, {}).get("model_id")
    shown = list(_widget_outputs(model, states)) if model else []
    yield from shown or [output]


def _widget_outputs(model: str, states: Mapping[str, Any]) -> Iterator[Any]:
    state = states.get(model, {}).get("state", {})
    yield from state.get("outputs", [])
    for child in state.get("children", []):
        yield from _widget_outputs(child.removeprefix("IPY_MODEL_"), states)


def _tidy(output: Any) -> Any:
    """The output without noise and folder names; None where nothing is left."""
    if output.output_type == "stream":
        lines = output.text.splitlines(keepends=True)
        if output.name == "stderr":
            lines = [line for line in lines if not _NOISE.match(line)]
        output.text = _without_folders("".join(lines))
        return output if output.text.strip() else None
    for kind, text in output.get("data", {}).items():
        if isinstance(text, str) and kind.startswith("text/"):
            output.data[kind] = _without_folders(text)
        elif kind == "image/png":
            output.data[kind] = shrink_png(text)
    return output


def _without_folders(text: str) -> str:
    text = re.sub(r"[^\s\"']*ipykernel_\d+[/\\]\d+\.py", "<cell>", text)
    for folder, name in ((ROOT, "tlkit"), (sys.prefix, "python"), (Path.home(), "~")):
        text = text.replace(f"{folder}{os.sep}", f"{name}/")
    return text
