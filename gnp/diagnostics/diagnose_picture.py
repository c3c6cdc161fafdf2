"""A picture of what goes on in the layers of a network."""

import os
from typing import Any

_BLUE, _RED, _GREEN = "#0072B2", "#D55E00", "#009E73"


def draw_diagnosis(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws spectral norms, the way of a gradient, norms by layer and shares of zeros.

    Args:
      figures: `chain`, `layers` and `activations`, as `gnp.main.diagnose` finds them.
      out_path: the PNG to write.
    """
    from matplotlib.figure import Figure  # imported late: it takes a second

    rows = max(len(figures["chain"]["names"]), len(figures["layers"]))
    height = min(max(3.2, 0.22 * rows + 1.4), 20)
    figure = Figure(figsize=(13, 2 * height), dpi=100, layout="constrained")
    chain, step = figures["chain"], figures["step"]
    title = f"Step {step}: {chain['verdict']}, a gradient changes by {chain['gain']:.3g}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = figure.subplots(2, 2)
    _draw(axes[0, 0], "Spectral norm of ∂h(k+1)/∂h(k)", chain["names"], chain["spectral_norms"])
    _draw(
        axes[0, 1],
        "Norm of a gradient at the input, 1 at the last layer",
        chain["names"],
        chain["gradient_norms"],
    )
    _draw_norms(axes[1, 0], figures["layers"])
    _draw_zeros(axes[1, 1], figures["activations"])
    figure.savefig(out_path)


def _draw(axes, title, names, values):
    axes.plot(values, range(len(names)), "o-", color=_BLUE, markersize=4)
    axes.axvline(1, color="#444444", linewidth=0.8, linestyle=":")
    _finish(axes, title, names, logarithmic=any(value > 0 for value in values))


def _draw_norms(axes, layers):
    parts = (
        ("parameter_norm", "parameters", _BLUE),
        ("gradient_norm", "gradient", _RED),
        ("update_norm", "next update", _GREEN),
    )
    for key, label, colour in parts:
        values = [norms[key] for norms in layers.values()]
        axes.plot(values, range(len(layers)), "o", color=colour, markersize=4, label=label)
    axes.legend(frameon=False, fontsize=8)
    any_positive = any(value > 0 for norms in layers.values() for value in norms.values())
    _finish(axes, "Norms by layer", layers, logarithmic=any_positive)


def _draw_zeros(axes, activations):
    zeros = [100 * a["zeros"] for a in activations.values()]
    dead = [100 * a["dead"] / a["units"] for a in activations.values()]
    axes.barh(range(len(activations)), zeros, color=_BLUE, alpha=0.4, label="zeros")
    axes.barh(range(len(activations)), dead, height=0.4, color=_RED, label="dead units")
    axes.set_xlim(0, 100)
    axes.legend(frameon=False, fontsize=8)
    _finish(axes, "Zeros and dead units in the input of (%)", activations, logarithmic=False)


def _finish(axes, title, names, *, logarithmic):
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_yticks(range(len(names)), list(names), fontsize=7)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    if logarithmic:
        axes.set_xscale("log", nonpositive="mask")
