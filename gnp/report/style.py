"""How all pictures look: named colours, and figures and axes in one style."""

import io
import os
import pathlib
import warnings
from typing import TYPE_CHECKING

from gnp.errors import printable
from gnp.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that colour-blind eyes tell apart, on a white ground (Okabe and Ito, 2008).
BLUE = "#0072B2"
RED = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GRAY = "#444444"

# The colours of curves and groups, in order.
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, GRAY)
# The same on a dark ground.
SERIES_ON_DARK = ("#56B4E9", "#E69F00", "#2DC99A", "#E39BC4", "#F0E442", "#9AD1F5", "#AAAAAA")
# Groups after those of all colours have other lines: matplotlib's names, and the dashes in SVG.
LINES = {"-": "none", "--": "5 2", ":": "1.5 2"}
NUM_LOOKS = len(SERIES) * len(LINES)

SMALL, TITLE = 8, 10  # font sizes
_DPI = 120


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure.

    Args:
      width, height: in inches.
    """
    from matplotlib.figure import Figure  # imported late: it takes a second

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def save_figure(figure: "Figure", out_path: str | os.PathLike) -> None:
    """Writes a figure as a PNG, whole or not at all.

    Raises:
      CannotWriteError: it cannot be written.
    """
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(picture, format="png")
    write_atomically(pathlib.Path(out_path), picture.getvalue())


def plain(text: object) -> str:
    """A name as a picture shows it as it is: between two $ matplotlib would read mathematics."""
    return printable(text).replace("$", r"\$")


def shortened(text: str, longest: int) -> str:
    """A text, cut to a number of characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def tidy(axes: "Axes", title: str = "", x_label: str = "", y_label: str = "") -> None:
    """Gives axes a title on the left, labels, a faint grid and no frame at the top and right."""
    axes.set_title(title, fontsize=TITLE, loc="left")
    axes.set_xlabel(x_label, fontsize=SMALL)
    axes.set_ylabel(y_label, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
