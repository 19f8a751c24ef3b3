import ast
import base64
import re
import shlex
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_runs import fake_comparison, fake_dataset

from tlkit.report import reproduction_code, reproduction_command, write_report

ATTACK = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.headings, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.words.append(data)
        if self.tags and self.tags[-1][0] in ("h1", "h2") and data.strip():
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    data = fake_dataset(
        [ATTACK, "dog", "猫"], images=30, size=8, skipped=[(f"a/{ATTACK}.jpg", "not an image")]
    )
    folder = tmp_path_factory.mktemp("report")
    found = fake_comparison(
        data, ["mini_vgg", "mini_resnet"], ["full", "scratch", "lp_ft"], 2, folder, epochs=3
    )
    path = write_report(found, data, folder / "report.html")
    return data, found, path, Page(path.read_text("utf-8"))


def test_everything_is_there_in_order(written):
    _, _, _, page = written
    assert page.headings == [
        "Transfer learning on fake images",
        "Recommendation",
        "Accuracy",
        "Learning curves",
        "Cost against accuracy",
        "What was trained",
        "The best run, and where it fails",
        "How to reproduce",
    ]


def test_the_recommendation_and_each_accuracy_are_in_words(written):
    _, found, _, page = written
    text = " ".join(" ".join(page.words).split())
    for paragraph in found.recommendation.split("\n"):
        assert paragraph in text
    means = found.table.groupby(["backbone", "strategy"])["test_accuracy"].mean()
    assert all(f"{mean:.3f}" in text for mean in means)
    assert "12 runs" in text
    assert "1 file was skipped" in text


def test_nothing_is_fetched_and_nothing_runs(written):
    _, _, path, page = written
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    text = re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", path.read_text("utf-8"))
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text


def test_names_are_text_never_markup(written):
    _, _, path, page = written
    assert "<script" not in path.read_text("utf-8")
    assert f"a/{ATTACK}.jpg" in page.words
    for image in page.images:
        svg = base64.b64decode(image["src"].partition(",")[2])
        assert not [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("script")]


def test_each_figure_is_a_picture_with_words(written):
    _, found, _, page = written
    assert len(page.images) == 1 + 2 + 2 + 2 + 2
    for image in page.images:
        assert image["src"].startswith("data:image/svg+xml;base64,")
        assert len(image["alt"]) > 60
    accuracy = page.images[0]["alt"]
    assert all(record.strategy in accuracy for record in found.records)


def test_the_same_comparison_makes_the_same_page(written, tmp_path):
    data, found, path, _ = written
    again = write_report(found, data, tmp_path / "new" / "report.html")
    assert again.read_bytes() == path.read_bytes()
    assert [file.name for file in again.parent.iterdir()] == ["report.html"]


def test_how_to_reproduce_can_be_read_by_shell_and_python(written):
    data, found, _, _ = written
    words = shlex.split(reproduction_command(found, data))
    assert words[:3] == ["tlkit", "compare", "fake images"]
    assert words.count("--strategy") == 3
    assert words[words.index("--seeds") + 1] == "2"
    assert words[words.index("--epochs") + 1] == "3"
    found.dataset_summary["loaded_with"] = {
        "name_or_path": "it's mine; rm -rf",
        "size": 96,
        "train_per_class": 10,
        "seed": 4,
    }
    words = shlex.split(reproduction_command(found, data))
    assert words[2] == "it's mine; rm -rf"
    assert words[words.index("--train-per-class") + 1] == "10"
    tree = ast.parse(reproduction_code(found, data))
    load, compare = (node.value for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(load.args[0]) == "it's mine; rm -rf"
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in compare.keywords}
    assert given["strategies"] == ["scratch", "full", "lp_ft"]
    assert given["batch_size"] == 32
    del found.dataset_summary["loaded_with"]


@pytest.mark.filterwarnings("error")
def test_the_smallest_comparison(tmp_path):
    """Two classes, one strategy, one seed; one run failed; a name that is no proper text."""
    data = fake_dataset(["a", "b\udcff"], images=6, size=8, skipped=[("bad\udcff.png", "empty")])
    found = fake_comparison(data, ["mini_vgg"], ["partial"], 1, epochs=1)
    failed = found.table.assign(seed=1, validation_accuracy=np.nan, test_accuracy=np.nan)
    found.table = type(found.table)(found.table.to_dict("records") + failed.to_dict("records"))
    text = write_report(found, data, tmp_path / "report.html").read_text("utf-8")
    assert "1 run, 1 failed" in text
    assert "Only one configuration was run" in text
    assert "bad?.png" in text
