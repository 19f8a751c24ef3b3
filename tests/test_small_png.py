import base64
import io

import numpy as np
from PIL import Image

from tlkit.small_png import shrink_png


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "png", dpi=(72, 72))
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def chart():
    """Anti-aliased curves on white, as matplotlib draws them."""
    x, y = np.meshgrid(np.linspace(0, 6, 400), np.linspace(-1.5, 1.5, 300))
    ink = np.exp(-80 * (y - np.sin(x)) ** 2)[..., None]
    grey = np.exp(-80 * (y - np.cos(x)) ** 2)[..., None]
    colours = 255 - ink * [255, 141, 77] - grey * 80
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8), "RGB")


def test_a_chart_gets_smaller_and_looks_the_same():
    full = encoded(chart())
    small = shrink_png(full)
    assert len(small) < 0.7 * len(full)
    change = np.abs(np.asarray(decoded(small).convert("RGB"), int) - np.asarray(chart(), int))
    assert change.mean() <= 1
    assert decoded(small).size == chart().size
    assert decoded(small).info["dpi"] == decoded(full).info["dpi"]
    assert shrink_png(full) == small == shrink_png(small)


def test_a_photograph_of_many_colours_is_left_alone():
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    photograph = encoded(Image.fromarray(noise))
    assert shrink_png(photograph) == photograph


def test_what_can_be_seen_through_is_left_alone():
    glass = encoded(Image.new("RGBA", (50, 50), (255, 0, 0, 100)))
    assert shrink_png(glass) == glass
