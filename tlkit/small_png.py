"""Makes the figures of notebooks smaller: a chart needs few colours."""

import base64
import io

import numpy as np
from PIL import Image

COLOURS = 256
VISIBLE = 1.0  # mean change of a colour value, out of 255, that nobody sees


def shrink_png(encoded: str) -> str:
    """Store a figure with a palette where that saves space and cannot be seen.

    Args:
        encoded: a PNG in base64, as notebooks hold it.

    Returns:
        The same figure with at most 256 colours; `encoded` itself where that would change its
        colours by more than 1 of 255 on average, or save nothing. The same figure gives the same
        bytes.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("RGBA", (50, 50), "white").save(buffer, "png")
        >>> full = base64.b64encode(buffer.getvalue()).decode()
        >>> len(shrink_png(full)) <= len(full)
        True
    """
    figure = Image.open(io.BytesIO(base64.b64decode(encoded)))
    full = figure.convert("RGB")
    if "A" in figure.mode and figure.getchannel("A").getextrema() != (255, 255):
        return encoded  # something can be seen through
    small = full.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    change = np.abs(np.asarray(full, int) - np.asarray(small.convert("RGB"), int)).mean()
    buffer = io.BytesIO()
    small.save(buffer, "png", optimize=True, dpi=figure.info.get("dpi"))
    text = base64.b64encode(buffer.getvalue()).decode()
    return text if change <= VISIBLE and len(text) < len(encoded) else encoded
