"""Exploding and vanishing gradients: norms along the layers of a network, and their picture."""

import functools
import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gnp.diagnostics.layer_chain import LayerChain
from gnp.regularization import tree
from gnp.report.style import (
    BLUE,
    GRAY,
    GREEN,
    RED,
    SMALL,
    TITLE,
    new_figure,
    plain,
    save_figure,
    tidy,
)
from gnp.training import remedies

# A gradient explodes or vanishes if it changes by more than this from the last layer to the first.
_LARGE_CHANGE = 1e3

# Of the power iteration.
_ITERATIONS = 40


class ChainHealth(NamedTuple):
    """How gradients change between the input of the last layer and the input of the first.

    The last layer is excluded, because its kernel may start at zero.

    Attributes:
      names: of all layers.
      spectral_norms: of the Jacobian ∂h_{k+1}/∂h_k of each layer, the mean over images.
      gradient_norms: at the input of each layer, of a gradient with norm 1 at the input of the last
        layer; the root mean square over images.
      product: of the spectral norms; an approximate upper bound of `gain`.
      gain: norm of that gradient at the input of the first layer.
    """

    names: list[str]
    spectral_norms: list[float]
    gradient_norms: list[float]
    product: float
    gain: float

    @property
    def verdict(self) -> str:
        """`exploding`, `vanishing` or `healthy`."""
        if not self.gain < _LARGE_CHANGE:
            return "exploding"
        return "healthy" if self.gain > 1 / _LARGE_CHANGE else "vanishing"

    def advice(self) -> str:
        """The verdict and the remedies as a sentence."""
        change = f"changes by a factor of {self.gain:.3g} over {len(self.names) - 1} layers"
        if self.verdict == "healthy":
            return f"The gradient is healthy: it {change}."
        helps = remedies.EXPLODING if self.verdict == "exploding" else remedies.VANISHING
        return f"The gradient is {self.verdict}: it {change}; what helps: {helps}."


def chain_health(
    chain: LayerChain, seed: int = 0, on_layer: Callable[[], None] = lambda: None
) -> ChainHealth:
    r"""Measures how gradients change through a network.

    :math:`\|\partial h_{k+1} / \partial h_k\|_2` of each layer, and the norms of one gradient.

    >>> class Net(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         x = nn.relu(nn.Dense(3)(images))
    ...         return nn.Dense(2)(x)
    ...
    >>> images = jnp.ones((4, 5))
    >>> variables = Net().init(jax.random.key(0), images, train=False)
    >>> chain_health(LayerChain.create(Net(), variables, images)).names
    ['Dense_0', 'Dense_1']

    Args:
      chain: its layers at a batch.
      seed: of the random starting vectors.
      on_layer: called after each layer.
    """
    key = jax.random.PRNGKey(seed)
    norms = []
    for index in range(len(chain.layers)):
        norm = spectral_norms(chain, index, jax.random.fold_in(key, index)).mean()
        norms.append(float(norm))
        on_layer()
    key = jax.random.fold_in(key, len(norms))
    gradients = [float(norm) for norm in gradient_norms(chain, key)]
    return ChainHealth(
        names=[layer.name for layer in chain.layers],
        spectral_norms=norms,
        gradient_norms=gradients,
        product=math.prod(norms[:-1]),
        gain=gradients[0],
    )


def spectral_norms(chain: LayerChain, index: int, key: jax.Array) -> jax.Array:
    """The largest singular value of a layer's Jacobian, for each image, by power iteration on JᵀJ.

    Args:
      chain: the layers at a batch.
      index: of the layer.
      key: of the random starting vectors.
    """
    vector = _unit(tree.normal_like(key, chain.inputs[index]))
    # Convolutions in a loop of one program are slow on CPUs (see regularization/control_flow.py).
    for _ in range(_ITERATIONS):
        vector, norms = _power_step(chain, index, vector)
    return norms


@functools.partial(jax.jit, static_argnums=1)
def _power_step(chain, index, vector):
    inputs = chain.inputs[index]
    _, pushed = jax.linearize(lambda h: chain.after(index, h), inputs)
    pulled = jax.linear_transpose(pushed, inputs)
    image = pushed(vector)
    return _unit(pulled(image)[0]), _norms(image)


@jax.jit
def gradient_norms(chain: LayerChain, key: jax.Array) -> list[jax.Array]:
    """Norms of a gradient at the input of each layer; at the last layer it is 1 in all images."""
    last = len(chain.layers) - 1
    shifts = jax.tree.map(jnp.zeros_like, chain.inputs[:last])
    gradient = _unit(tree.normal_like(key, chain.inputs[last]))
    _, pulled = jax.vjp(lambda shifts: chain.end(shifts, last), shifts)
    gradients = [*pulled(gradient)[0], gradient]
    return [jnp.sqrt(jnp.mean(_norms(g) ** 2)) for g in gradients]


def _norms(arrays):
    """One norm for each image, over all arrays."""
    return jnp.sqrt(sum(jnp.sum(x.reshape(len(x), -1) ** 2, axis=1) for x in arrays))


def _unit(arrays):
    norms = _norms(arrays)
    scale = jnp.where(norms == 0, 0, 1 / jnp.where(norms == 0, 1, norms))
    return tuple(x * scale.reshape(-1, *[1] * (x.ndim - 1)) for x in arrays)


def draw_diagnosis(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws spectral norms, gradient norms, norms by layer and shares of zeros.

    Args:
      figures: `chain`, `layers` and `activations`, from `gnp.main.diagnose`.
      out_path: the PNG to write.
    """
    rows = max(len(figures["chain"]["names"]), len(figures["layers"]))
    height = min(max(3.2, 0.22 * rows + 1.4), 20)
    figure = new_figure(13, 2 * height)
    chain, step = figures["chain"], figures["step"]
    title = f"Step {step}: {chain['verdict']}, a gradient changes by {chain['gain']:.3g}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE)
    axes = figure.subplots(2, 2)
    _draw_chain(axes[0, 0], "Spectral norm of ∂h(k+1)/∂h(k)", chain, "spectral_norms")
    title = "Norm of a gradient at the input, 1 at the last layer"
    _draw_chain(axes[0, 1], title, chain, "gradient_norms")
    _draw_norms(axes[1, 0], figures["layers"])
    _draw_zeros(axes[1, 1], figures["activations"])
    save_figure(figure, out_path)


def _draw_chain(axes, title, chain, key):
    _prepare(axes, title, chain["names"])
    axes.plot(chain[key], range(len(chain["names"])), "o-", color=BLUE, markersize=4)
    axes.axvline(1, color=GRAY, linewidth=0.8, linestyle=":")
    _set_logarithmic(axes, chain[key])


def _draw_norms(axes, layers):
    _prepare(axes, "Norms by layer", layers)
    parts = (
        ("parameter_norm", "parameters", BLUE),
        ("gradient_norm", "gradient", RED),
        ("update_norm", "next update", GREEN),
    )
    for key, label, colour in parts:
        values = [norms[key] for norms in layers.values()]
        axes.plot(values, range(len(layers)), "o", color=colour, markersize=4, label=label)
    axes.legend(frameon=False, fontsize=SMALL)
    _set_logarithmic(axes, [value for norms in layers.values() for value in norms.values()])


def _draw_zeros(axes, activations):
    _prepare(axes, "Zeros and dead units in the input of (%)", activations)
    zeros = [100 * a["zeros"] for a in activations.values()]
    dead = [100 * a["dead"] / a["units"] for a in activations.values()]
    axes.barh(range(len(activations)), zeros, color=BLUE, alpha=0.4, label="zeros")
    axes.barh(range(len(activations)), dead, height=0.4, color=RED, label="dead units")
    axes.set_xlim(0, 100)
    axes.legend(frameon=False, fontsize=SMALL)


def _prepare(axes, title, names):
    """A row for each name, from top to bottom."""
    tidy(axes, title)
    axes.set_yticks(range(len(names)), map(plain, names), fontsize=SMALL - 1)
    axes.invert_yaxis()


def _set_logarithmic(axes, values):
    if any(value > 0 for value in values):
        axes.set_xscale("log", nonpositive="mask")
