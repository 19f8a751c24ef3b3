"""What every test runs under, and the real data that lie beside a developer's checkout."""

import os
import shutil
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Before keras is imported: it reads KERAS_HOME and the log level once. Notebooks that nbval
# executes inherit these, so that no test fills a user's cache or touches the ledger.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TLKIT_CACHE"] = tempfile.mkdtemp(prefix="tlkit-tests-")
os.environ.pop("TLKIT_LEDGER", None)
if (SHARED / "keras-home").is_dir():
    os.environ["KERAS_HOME"] = str(SHARED / "keras-home")
matplotlib.use("Agg")


def pytest_unconfigure():
    shutil.rmtree(os.environ["TLKIT_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real image sets; see its PROVENANCE.md."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no real images beside the checkout (../shared/data)")
    return SHARED / "data"


@pytest.fixture(scope="session")
def keras_home() -> Path:
    """Folder of ImageNet weights, which keras already uses as its own."""
    if not (SHARED / "keras-home").is_dir():
        pytest.skip("no ImageNet weights beside the checkout (../shared/keras-home)")
    return SHARED / "keras-home"


@pytest.fixture(scope="session")
def tiny_dataset():
    """Three classes that differ in colour, 32x32: enough to train on in a moment."""
    from tlkit.dataset import Dataset, Split

    rng = np.random.default_rng(0)

    def split(per_class: int) -> Split:
        labels = np.tile(np.arange(3), per_class)
        images = rng.integers(0, 120, (len(labels), 32, 32, 3))
        images[np.arange(len(labels)), :, :, labels] += 100
        return Split(images.astype(np.uint8), labels)

    return Dataset("tiny", ("red", "green", "blue"), split(8), split(4), split(4))
