"""The `tlkit` command as a user meets it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tlkit.errors import InputError
from tlkit.mini import build_mini
from tlkit.models import load_model, save_model


def tlkit(*arguments, cwd=None):
    code = "from tlkit.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A folder of 12 images in two classes, one of them unreadable."""
    root = tmp_path_factory.mktemp("data") / "colours"
    rng = np.random.default_rng(0)
    for channel, name in enumerate(["red & hot", "grün"]):
        (root / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 100, (40, 50, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(root / name / f"image {number}.png")
    (root / "grün" / "broken.jpg").write_bytes(b"not an image")
    return root


@pytest.fixture(scope="module")
def compared(colours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    options = ["--strategy", "feature_extraction", "--seeds", 2, "--epochs", 1, "--out", "found"]
    return folder, tlkit("compare", colours, *options, cwd=folder)


@pytest.mark.slow
def test_compare_says_which_to_take_and_where_the_results_are(compared):
    folder, done = compared
    assert done.returncode == 0, done.stderr
    assert "feature_extraction" in done.stdout
    assert "1 file(s) skipped" in done.stdout
    for name in ("report.html", "results.csv", "best.keras"):
        assert (folder / "found" / name).exists()
    assert len(pd.read_csv(folder / "found" / "results.csv")) == 2
    report = (folder / "found" / "report.html").read_text("utf-8")
    assert "broken.jpg" in report
    assert "red &amp; hot" in report


@pytest.mark.slow
def test_predict_uses_the_best_model_and_lists_what_it_cannot_read(compared, colours):
    folder, _ = compared
    images = [colours / "red & hot" / "image 0.png", colours / "grün" / "broken.jpg"]
    done = tlkit("predict", folder / "found" / "best.keras", *images, "--top", 2)
    assert done.returncode == 1
    assert "red & hot" in done.stdout
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "no_such_set"], "neither a data set nor a folder"),
        (["compare", "digits", "--strategy", "magic", "--out", "x"], "strategy='magic'"),
        (["compare", "digits", "--backbone", "magic", "--out", "x"], "magic"),
        (["predict", "no_such.keras", "image.png"], "no such file"),
        (["pretrain", "resnet50"], "mini_resnet"),
        (["run", "99"], "99"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, tmp_path):
    done = tlkit(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


@pytest.mark.parametrize(
    "command", [[], ["compare"], ["predict"], ["pretrain"], ["run"], ["doctor"]]
)
def test_help_explains(command):
    done = tlkit(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_doctor_shows_versions_and_backbones():
    done = tlkit("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("python", "keras", "mini_resnet", "mobilenet_v2", "memory"):
        assert word in done.stdout


def test_the_package_and_help_import_no_tensorflow():
    code = (
        "import sys, tlkit, tlkit.cli\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert 'fit' in dir(tlkit)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_public_name_is_an_attribute_error():
    import tlkit

    with pytest.raises(AttributeError, match="no_such_name"):
        tlkit.no_such_name  # noqa: B018


def test_every_public_name_resolves():
    import tlkit

    for name in tlkit.__all__:
        assert getattr(tlkit, name) is not None


def test_a_model_without_class_names_is_refused(tmp_path):
    model = build_mini("mini_vgg")
    model.save(tmp_path / "plain.keras")
    with pytest.raises(InputError, match="no class names"):
        load_model(tmp_path / "plain.keras")
    save_model(model, tmp_path / "own.keras", {"class_names": ["ä", "b"]})
    assert load_model(tmp_path / "own.keras")[1]["class_names"] == ["ä", "b"]
