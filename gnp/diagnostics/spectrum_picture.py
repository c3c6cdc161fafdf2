"""A picture of the spectrum of a Hessian."""

import os
from typing import Any

import numpy as np

_LOWEST_DENSITY = 1e-6


def draw_spectrum(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws the density of the eigenvalues, and the largest of them as lines.

    Args:
      figures: with `density` (`points`, `density`), `eigenvalues`, `trace`, `trace_error`.
      out_path: the PNG to write.
    """
    from matplotlib.figure import Figure  # imported late: it takes a second

    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    density = np.maximum(figures["density"]["density"], _LOWEST_DENSITY)
    axes.fill_between(figures["density"]["points"], _LOWEST_DENSITY, density, color="#0072B2")
    for value in figures["eigenvalues"]:
        axes.axvline(value, color="#D55E00", linewidth=0.8, linestyle="--")
    axes.set(
        yscale="log",
        ylim=(_LOWEST_DENSITY, None),
        xlabel="eigenvalue of the Hessian (dashed: the largest ones)",
        ylabel="density",
    )
    axes.set_title(
        f"λ₁ = {figures['eigenvalues'][0]:.3g}, "
        f"trace = {figures['trace']:.3g} ± {figures['trace_error']:.2g}",
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(out_path)
