"""Draws docs/penalties.svg, the figure of docs/penalties.md: python docs/draw_penalties.py"""

import pathlib

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

BLUE, RED, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"

# Test errors (%) on the digits under attack, from the table in docs/penalties.md.
RADII = (0, 0.5, 1, 2)
ATTACKED = {
    "standard": (BLUE, (0.65, 7.22, 25.83, 75.46)),
    "norm, ε = 1": (GREEN, (0.93, 5.09, 17.78, 64.08)),
    "adversarial, ε = 1": (RED, (1.11, 2.96, 7.59, 27.59)),
}
# Zero weights (%) after each epoch of the example in "Exact zeros": in all penalized layers, and in
# the last layer of the second block.
ZEROS_IN_ALL = (*[0] * 9, 36, 47, 57, 59, 61, 63, 66, 69, 71, 75, *[76] * 11)
ZEROS_IN_ONE = (*[0] * 10, 3, 3, 9, 9, 9, 12, 12, 16, *[19] * 12)


def draw_weights(axes):
    """Draws the minimizer of ½(w − a)² + penalty as a function of a."""
    a = np.linspace(-3, 3, 301)
    soft = np.sign(a) * np.maximum(np.abs(a) - 1, 0)
    axes.plot(a, a, color=GRAY, linestyle=":", label="none")
    axes.plot(a, a / 2, color=BLUE, label="L2")
    axes.plot(a, soft, color=RED, label="L1")
    axes.plot(a, soft / 2, color=GREEN, label="both")
    axes.set(xlabel="best weight without penalty", ylabel="with it")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Weights: L1 makes small ones zero", size=10)


def draw_groups(axes):
    """Draws the kernel of a convolution as a matrix of height × width kernels."""
    for row in range(4):
        for column in range(5):
            axes.add_patch(Rectangle((column, row), 0.9, 0.9, facecolor="#eeeeee"))
    groups = (
        (RED, "kernel", (4, 1), (0.9, 0.9), (5.05, 1.45)),
        (BLUE, "filter", (1, 0), (0.9, 3.9), (1.45, 4.25)),
        (GREEN, "channel", (0, 2), (4.9, 0.9), (5.05, 2.45)),
    )
    for colour, name, corner, size, label in groups:
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=2.5))
        align = "center" if name == "filter" else "left"
        axes.text(*label, name, color=colour, size=10, ha=align, va="center")
    axes.set(xlim=(-0.2, 6.4), ylim=(-0.3, 4.7), xlabel="outputs", ylabel="inputs")
    axes.set(xticks=[], yticks=[])
    axes.set_title("Groups of a convolution's weights", size=10)


def draw_zeros(axes):
    epochs = range(1, len(ZEROS_IN_ALL) + 1)
    axes.axvspan(10, 20, color="#eeeeee")
    axes.plot(epochs, ZEROS_IN_ALL, color=BLUE, label="all layers")
    axes.plot(epochs, ZEROS_IN_ONE, color=RED, label="WideResNetBlock_1/Conv_1")
    axes.set(xlabel="epoch (shaded: those with a threshold)", ylabel="zero weights (%)")
    axes.legend(frameon=False, fontsize=8, loc="center right")
    axes.set_title("Group lasso with a threshold", size=10)


def draw_attack(axes):
    for name, (colour, errors) in ATTACKED.items():
        axes.plot(RADII, errors, "o-", color=colour, markersize=4, label=name)
    axes.set(xlabel="radius of the attack", ylabel="test error (%)")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Input gradient: errors under attack", size=10)


def draw_activation(axes):
    """Draws a chain of layers, zeros added to the activations, and the gradient of the zeros."""
    axes.set(xlim=(0, 10), ylim=(0, 4), xticks=[], yticks=[])
    forward = {"arrowstyle": "-|>", "color": GRAY, "lw": 1.5}
    backward = {"arrowstyle": "-|>", "color": RED, "lw": 1.5}
    for centre, text in ((0.6, "x"), (2.6, "layer"), (5.2, "a + 0"), (7.6, "layer"), (9.5, "L")):
        box = {"boxstyle": "round", "facecolor": "#eeeeee", "edgecolor": "none"}
        axes.text(centre, 2.2, text, ha="center", va="center", size=10, bbox=box)
    for start, end in ((0.95, 1.9), (3.3, 4.3), (6.1, 6.9), (8.3, 9.1)):
        axes.annotate("", xy=(end, 2.2), xytext=(start, 2.2), arrowprops=forward)
    bent = backward | {"connectionstyle": "arc3,rad=-0.35"}
    axes.annotate("", xy=(5.2, 1.7), xytext=(9.5, 1.7), arrowprops=bent)
    axes.text(7.35, 0.75, "∂L/∂a", color=RED, ha="center", size=10)
    axes.text(1.6, 3.1, "w·Σ‖∂L/∂a‖² trains the parameters", color=BLUE, ha="left", size=9)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("Activation gradient", size=10)


def draw_parameter(axes):
    """Draws gradient descent with large steps, and the flows of L and of L + ¼·γ·‖∇L‖²."""
    hessian, rate, start = np.diag([0.35, 2.0]), 0.3, np.array([-2.6, 1.3])
    time = np.linspace(0, 8, 200)[:, None]
    modified = hessian + rate / 2 * hessian @ hessian
    x, y = np.meshgrid(np.linspace(-3, 0.6, 200), np.linspace(-0.4, 1.5, 200))
    loss = 0.5 * (hessian[0, 0] * x**2 + hessian[1, 1] * y**2)
    axes.contour(x, y, loss, levels=np.geomspace(0.05, 3, 9), colors="#cccccc", linewidths=0.8)
    steps = [np.linalg.matrix_power(np.eye(2) - rate * hessian, n) @ start for n in range(20)]
    axes.plot(*np.transpose(steps), "o", color="black", markersize=4, label="descent")
    for matrix, colour, label in ((hessian, BLUE, "flow of L"), (modified, RED, "with penalty")):
        path = start * np.exp(-time * np.diag(matrix))
        axes.plot(path[:, 0], path[:, 1], color=colour, label=label)
    axes.legend(frameon=False, fontsize=8)
    axes.set(xlim=(-3, 0.6), ylim=(-0.4, 1.5), xticks=[], yticks=[])
    axes.set_title("Parameter gradient: what descent follows", size=10)


def main():
    matplotlib.rcParams.update({"svg.hashsalt": "gnp", "font.size": 9})
    figure = Figure(figsize=(11, 6.4), layout="constrained", facecolor="white")
    drawings = (
        draw_weights,
        draw_groups,
        draw_zeros,
        draw_attack,
        draw_activation,
        draw_parameter,
    )
    for index, draw in enumerate(drawings, 1):
        axes = figure.add_subplot(2, 3, index)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
    figure.savefig(pathlib.Path(__file__).with_name("penalties.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
