"""Draws docs/idea.svg, the figure of README.md: python docs/draw_idea.py"""

import pathlib

import matplotlib
import numpy as np
from matplotlib.figure import Figure

BLUE, RED, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"
RADIUS = 0.42


def landscape(x):
    """Returns a loss with a sharp and a flat minimum of the same depth."""
    sharp = 1.1 * np.exp(-((x + 1.6) ** 2) / (2 * 0.22**2))
    flat = 1.1 * np.exp(-((x - 1.1) ** 2) / (2 * 0.95**2))
    return 1.35 - sharp - flat + 0.012 * x**2


def draw_minima(axes):
    x = np.linspace(-3.1, 3.6, 600)
    axes.plot(x, landscape(x), color="black", linewidth=1.8)
    for name, centre, colour in (("sharp", -1.6, RED), ("flat", 1.1, BLUE)):
        start, end = centre + 0.06, centre + 0.06 + RADIUS
        low, high = landscape(start), landscape(end)
        axes.plot([start, end], [low, low], color=GRAY, linewidth=1, linestyle=":")
        axes.plot([end, end], [low, high], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot(start, low, "o", color=colour, markersize=7)
        axes.plot(end, high, "o", color=colour, markersize=7, fillstyle="none")
        axes.text((start + end) / 2, low - 0.07, "r", ha="center", va="top", color=GRAY)
        axes.text(centre, landscape(x).max() + 0.06, name, ha="center", color=colour, size=12)
    axes.text(-1.35, 1.34, "L(θ + r·v) − L(θ)", color=RED, size=10)
    axes.set(ylim=(0.0, 1.75), xlabel="parameters θ", ylabel="loss L")
    axes.set_title("Two minima, equally deep: how far does the loss rise within r?", size=10)


def draw_step(axes):
    hessian = np.array([[1.0, 0.0], [0.0, 4.5]])
    theta = np.array([-2.1, 0.72])
    gradient = hessian @ theta
    perturbed = theta + 0.75 * gradient / np.linalg.norm(gradient)
    perturbed_gradient = hessian @ perturbed
    mixed = 0.2 * gradient + 0.8 * perturbed_gradient

    x, y = np.meshgrid(np.linspace(-3.4, 1.0, 300), np.linspace(-0.9, 1.75, 300))
    loss = 0.5 * (hessian[0, 0] * x**2 + hessian[1, 1] * y**2)
    levels = np.geomspace(0.15, 14, 11)
    axes.contour(x, y, loss, levels=levels, colors="#bbbbbb", linewidths=0.8)
    axes.plot(0, 0, "+", color=GRAY, markersize=9)

    def arrow(start, vector, colour, label, offset, style="-", width=2.0):
        end = start + vector
        axes.annotate(
            "",
            xy=end,
            xytext=start,
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "lw": width,
                "linestyle": style,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 13,
            },
        )
        axes.text(*(end + offset), label, color=colour, size=10, ha="center", va="center")

    scale = 0.24
    arrow(theta, perturbed - theta, GRAY, "θ + r·v", (-0.1, 0.17), style=":")
    arrow(perturbed, -scale * perturbed_gradient, RED, "−g₂", (-0.22, -0.02))
    arrow(theta, -scale * gradient, BLUE, "−g₁", (0.24, 0.04))
    arrow(theta, -scale * mixed, GREEN, "−g", (0.17, -0.1), width=2.8)
    axes.plot(*theta, "o", color="black", markersize=6)
    axes.text(theta[0] - 0.28, theta[1] - 0.12, "θ", size=11, ha="center")
    axes.plot(*perturbed, "o", color="black", markersize=6, fillstyle="none")
    axes.set(xlim=(-3.4, 1.0), ylim=(-0.9, 1.75))
    axes.set_title("One step, two passes:  g = (1 − α)·g₁ + α·g₂,  v = g₁ / ‖g₁‖", size=10)


def main():
    matplotlib.rcParams.update({"svg.hashsalt": "gnp", "font.size": 10})
    figure = Figure(figsize=(10.5, 3.7), layout="constrained", facecolor="white")
    minima, step = figure.subplots(1, 2)
    draw_minima(minima)
    draw_step(step)
    for axes in (minima, step):
        axes.set(xticks=[], yticks=[])
        axes.spines[["top", "right"]].set_visible(False)
    out = pathlib.Path(__file__).with_name("idea.svg")
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
