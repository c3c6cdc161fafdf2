"""Ascents: along which direction the parameters are perturbed, and what is remembered for it.

An ascent is a small object of pure functions. A penalized step perturbs the parameters by r times
its direction, and afterwards updates its memory:

    gradient          g/‖g‖, g the gradient at θ: the steepest ascent     arXiv 2202.03599
    adaptive          T²·g/‖T·g‖ with T = abs(θ) + 0.01                    ASAM, arXiv 2102.11600
    random            z/‖z‖, z normal: a control of the same length
    friendly          (g − m)/‖g − m‖, m a moving average of g            F-SAM, arXiv 2403.12350
    momentum          m/‖m‖, m a moving average of past gradients: one pass
    momentum_descent  −m/‖m‖: one pass                                    MSAM, arXiv 2401.12033
    stale             the last step's gradient g/‖g‖: one pass            AsyncSAM, arXiv 2503.11147

The last three need no gradient at θ, so the step makes one pass, at θ + r·direction.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gnp import parameter_paths as paths
from gnp.errors import UserError, unknown_name
from gnp.regularization import tree

PyTree = Any

# Keeps the adaptive perturbation from vanishing where a weight is zero (ASAM, section 5).
_ADAPTIVE_OFFSET = 0.01


class StepGradients(NamedTuple):
    """The gradients that a memory is made of, means over all devices.

    >>> gradients = StepGradients(mixed=jnp.ones(2), clean=None, weight=0.5)
    >>> print(momentum(decay=0.5).update(jnp.zeros(2), gradients))
    [0.5 0.5]

    Attributes:
      mixed: g, what the optimizer gets, before clipping.
      clean: g1, at θ; None after a step of one perturbed pass.
      weight: α·r of the step.
      loss: of the step, the mean over all devices.
    """

    mixed: PyTree
    clean: PyTree | None
    weight: jax.Array | float
    loss: jax.Array | float = 0.0


@dataclasses.dataclass(frozen=True)
class Ascent:
    """How the parameters are perturbed. All functions are pure.

    >>> signs = Ascent(lambda params, gradient, memory, key: jax.tree.map(jnp.sign, gradient))
    >>> penalized = gnp.value_and_grad(lambda w: jnp.sum(w**2), r=0.5, alpha=1, ascent=signs)
    >>> print(penalized(jnp.array([3.0, 4.0]))[1])
    [7. 9.]

    Attributes:
      direction: `(params, gradient, memory, key) -> tree`, which times r is added to the
        parameters. The gradient is that at θ, or None if it is not needed.
      needs_gradient: whether there is a pass at θ before the perturbed one.
      init: `params -> memory`; None: there is none.
      is_wanted: `(squared norm of the gradient at θ, memory) -> bool`: whether the perturbed pass
        is made; None: always.
      update: `(memory, StepGradients) -> memory`, after a penalized step.
      standard_step: `(gradient, memory) -> (gradient, memory)`, in standard steps between
        penalized ones: what the optimizer gets, and what is remembered.
      radius_factor: `memory -> factor` of r in this step.
    """

    direction: Callable[[PyTree, PyTree, PyTree, jax.Array | None], PyTree]
    needs_gradient: bool = True
    init: Callable[[PyTree], PyTree] | None = None
    is_wanted: Callable[[jax.Array, PyTree], jax.Array] | None = None
    update: Callable[[PyTree, StepGradients], PyTree] = lambda memory, gradients: memory
    standard_step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]] = lambda g, memory: (g, memory)
    radius_factor: Callable[[PyTree], jax.Array | float] = lambda memory: 1.0

    @property
    def has_memory(self) -> bool:
        """Whether it remembers something from one step to the next.

        >>> signs.has_memory, momentum().has_memory
        (False, True)
        """
        return self.init is not None

    def initial_memory(self, params: PyTree) -> PyTree | None:
        """The memory before the first step; None if there is none.

        >>> print(momentum().initial_memory(jnp.ones(2)))
        [0. 0.]
        """
        return None if self.init is None else self.init(params)

    def require_no_memory(self, what: str) -> None:
        """Raises a UserError if this ascent has a memory, beside which there is no room for `what`.

        Args:
          what: what else would be remembered, as the beginning of a sentence.
        """
        if self.has_memory:
            raise UserError(
                f"{what}, and there is room for one memory: gnp.ascent must be gradient, adaptive "
                "or random, and gnp.reuse and gnp.when.steep exclude each other."
            )


def _along_gradient(params, gradient, memory, key):
    del params, memory, key
    return tree.unit(gradient)


def _adaptive(params, gradient, memory, key):
    del memory, key
    scales = jax.tree.map(lambda w: jnp.abs(w) + _ADAPTIVE_OFFSET, params)
    direction = tree.unit(jax.tree.map(jnp.multiply, scales, gradient))
    return jax.tree.map(jnp.multiply, scales, direction)


def _at_random(params, gradient, memory, key):
    del gradient, memory
    return tree.unit(tree.normal_like(key, params))


STEEPEST = Ascent(_along_gradient)


def friendly(decay: float = 0.9) -> Ascent:
    r"""Along the gradient without its moving average m (F-SAM, arXiv 2403.12350, algorithm 1).

    :math:`(g - m) / \|g - m\|`. What is left, g − m, is the noise of the batch. The paper's
    g − σ·m, with σ = 1 and the average that g is already part of, is decay·(g − m): the same
    direction. m starts as zeros.

    >>> ascent = friendly(decay=0.9)
    >>> memory = ascent.init(jnp.zeros(2))
    >>> print(ascent.direction(None, jnp.array([3.0, 4.0]), memory, None))
    [0.6 0.8]

    Args:
      decay: the paper's λ, in m ← λ·m + (1 − λ)·g.
    """

    def direction(params, gradient, memory, key):
        del params, key
        return tree.unit(tree.add(gradient, memory, -1))

    return _with_average(decay, lambda gradients: gradients.clean, direction=direction)


def momentum(decay: float = 0.9, sign: float = 1) -> Ascent:
    r"""Along a moving average m of past gradients, so that one pass suffices.

    It is made at :math:`\theta + r m / \|m\|`.
    Momentum-SAM (arXiv 2401.12033, algorithm 1) takes the optimizer's momentum for m and the sign
    −1, θ − r·m/‖m‖, where the step is about to go; +1 is uphill, as the ascent of two passes is.
    m is the average of the gradients that the optimizer gets, before clipping. With decay as the
    optimizer's momentum it points where that does; it is kept apart, so that any optimizer will
    do. It starts as zeros, so the first step is not perturbed. θ is what is evaluated and saved.

    >>> ascent = momentum(decay=0.9)
    >>> print(ascent.direction(None, None, jnp.array([3.0, 4.0]), None), ascent.needs_gradient)
    [0.6 0.8] False

    Args:
      decay: in m ← decay·m + (1 − decay)·g. 0: the last gradient alone.
      sign: 1 or −1.
    """

    def direction(params, gradient, memory, key):
        del params, gradient, key
        return tree.scale(tree.unit(memory), sign)

    return _with_average(
        decay, lambda gradients: gradients.mixed, direction=direction, needs_gradient=False
    )


def _with_average(decay, chosen, **ascent):
    """An ascent whose memory is a moving average of one of the gradients, from zeros on."""

    def averaged(gradient, memory):
        return tree.mix(gradient, memory, decay)

    return Ascent(
        init=lambda params: jax.tree.map(jnp.zeros_like, tree.precise(params)),
        update=lambda memory, gradients: averaged(chosen(gradients), memory),
        standard_step=lambda gradient, memory: (gradient, averaged(gradient, memory)),
        **ascent,
    )


_ASCENTS = {
    "gradient": lambda decay: STEEPEST,
    "adaptive": lambda decay: Ascent(_adaptive),
    "random": lambda decay: Ascent(_at_random),
    "friendly": friendly,
    "momentum": momentum,
    "momentum_descent": lambda decay: momentum(decay, sign=-1),
    "stale": lambda decay: momentum(0.0),
}
WITH_AVERAGE = ("friendly", "momentum", "momentum_descent")
ONE_PASS = tuple(name for name, make in _ASCENTS.items() if not make(0.9).needs_gradient)


def ascent_names() -> list[str]:
    """The names that `ascent` knows, sorted."""
    return sorted(_ASCENTS)


def ascent(name: str, *, decay: float = 0.9) -> Ascent:
    """The ascent of that name.

    >>> ascent("adaptive").has_memory, ascent("momentum", decay=0.5).has_memory
    (False, True)

    Args:
      name: one of the table above.
      decay: of its moving average, if it has one; at least 0 and below 1.

    Raises:
      UserError: the name is unknown, or the decay is not in this range.
    """
    if name not in _ASCENTS:
        raise unknown_name("direction of ascent (gnp.ascent)", name, _ASCENTS)
    if not 0 <= decay < 1:
        raise UserError(f"ascent_decay is {decay}; it must be at least 0 and below 1, such as 0.9.")
    return _ASCENTS[name](decay)


def restricted(inner: Ascent, patterns: Sequence[str]) -> Ascent:
    r"""The same ascent of some parameters alone; the others are not perturbed.

    With g' the part of the gradient that belongs to them, the direction is :math:`g' / \|g'\|`
    there and 0 elsewhere. Normalization layers alone are SAM-ON (arXiv 2306.04226).

    >>> norms_only = restricted(ascent("gradient"), ["norm/*"])
    >>> params = {"norm": {"scale": jnp.ones(2)}, "dense": {"kernel": jnp.ones(3)}}
    >>> print(norms_only.direction(params, params, None, None)["dense"]["kernel"])
    [0. 0. 0.]

    Args:
      inner: the ascent.
      patterns: as in `paths.matching`, of paths such as `block0/conv/kernel`; none: all
        parameters.

    Raises:
      UserError: while it is traced, if a pattern matches no parameter.
    """
    if not patterns:
        return inner

    def part(whole):
        """The tree with None, which is no leaf, in the place of what is not chosen."""
        if whole is None:
            return None
        leaves, structure = jax.tree_util.tree_flatten_with_path(whole)
        named = {_path(keys): leaf for keys, leaf in leaves}
        chosen = set(paths.matching(patterns, named, "gnp.perturb"))
        return structure.unflatten(
            [leaf if path in chosen else None for path, leaf in named.items()]
        )

    def direction(params, gradient, memory, key):
        moved = inner.direction(part(params), part(gradient), memory, key)
        return jax.tree.map(
            lambda move, leaf: jnp.zeros_like(leaf) if move is None else move,
            moved,
            params,
            is_leaf=lambda move: move is None,
        )

    def parts(gradients):
        return gradients._replace(mixed=part(gradients.mixed), clean=part(gradients.clean))

    return dataclasses.replace(
        inner,
        direction=direction,
        init=inner.init and (lambda params: inner.init(part(params))),
        update=lambda memory, gradients: inner.update(memory, parts(gradients)),
        standard_step=lambda gradient, memory: (
            gradient,
            inner.standard_step(part(gradient), memory)[1],
        ),
    )


def _path(keys):
    return jax.tree_util.keystr(keys, simple=True, separator="/")
