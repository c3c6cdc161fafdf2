"""A picture of the images that a model receives."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from gnp.report.style import new_figure, plain, save_figure

_COLUMNS = 8
_INCHES = 1.4


def save_image_grid(
    path: pathlib.Path, parts: Mapping[str, tuple[np.ndarray, Sequence[str]]]
) -> None:
    """Draws images in rows, each with its label below.

    Args:
      path: of the PNG file.
      parts: heading -> (images, labels); the images on the scale 0 to 1, n x height x width x
        channels.
    """
    rows = [-(-len(images) // _COLUMNS) for images, _ in parts.values()]
    figure = new_figure(_COLUMNS * _INCHES, (sum(rows) + 0.5 * len(rows)) * _INCHES)
    sections = np.atleast_1d(figure.subfigures(len(rows), 1, height_ratios=[r + 0.5 for r in rows]))
    for section, count, (heading, (images, labels)) in zip(
        sections, rows, parts.items(), strict=True
    ):
        section.suptitle(heading)
        axes = section.subplots(count, _COLUMNS, squeeze=False).ravel()
        for axis in axes:
            axis.axis("off")
        for axis, image, label in zip(axes, images, labels, strict=False):
            axis.imshow(np.squeeze(np.clip(image, 0, 1)), cmap="gray", vmin=0, vmax=1)
            place = {"transform": axis.transAxes, "ha": "center", "va": "top"}
            axis.text(0.5, -0.05, plain(label), size=7, **place)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)
