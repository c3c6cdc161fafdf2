"""How sharp a minimum is: worst-case and mean sharpness, and the spectrum of the Hessian."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.flatten_util import ravel_pytree

from gnp.diagnostics import spectrum
from gnp.diagnostics.dataset_loss import WholeSet
from gnp.errors import UserError
from gnp.regularization import tree
from gnp.regularization.control_flow import scan

PyTree = Any


def worst_case_rise(
    loss_fn: Callable[[PyTree], jax.Array], params: PyTree, r: float, num_steps: int, key: jax.Array
) -> jax.Array:
    """The largest rise L(θ + ε) − L(θ) that ascent finds on the sphere ‖ε‖ = r.

    The first step is r·∇L/‖∇L‖, that of SAM (arXiv 2010.01412, equation 2); further ones go to
    r·∇L(θ + ε)/‖∇L(θ + ε)‖, which never descends where L is convex (the generalized power method,
    Journée et al. 2010). The largest rise on the way counts, so more steps never give less.

    Args:
      loss_fn: `params -> loss`.
      params: θ.
      r: the radius.
      num_steps: gradients taken, from 1.
      key: draws the first direction where the gradient is zero.
    """
    value_and_gradient = jax.value_and_grad(loss_fn)
    start, gradient = value_and_gradient(params)

    def step(carry, _):
        gradient, highest = carry
        moved = tree.add(params, _direction(gradient, key), r)
        loss, gradient = value_and_gradient(moved)
        return (gradient, jnp.maximum(highest, loss)), None

    further_steps = jnp.arange(num_steps - 1)
    (gradient, highest), _ = scan(step, (gradient, jnp.array(-jnp.inf, start.dtype)), further_steps)
    last = loss_fn(tree.add(params, _direction(gradient, key), r))
    return jnp.maximum(highest, last) - start


def normal_like(key: jax.Array, like: PyTree) -> PyTree:
    """A tree of independent standard normal numbers."""
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def _direction(gradient, key):
    is_zero = tree.global_norm(gradient) == 0
    drawn = tree.unit(normal_like(key, gradient))
    return jax.tree.map(lambda u, d: jnp.where(is_zero, d, u), tree.unit(gradient), drawn)


PyTree = Any

# Which of the draws of a seed.
_LANCZOS, _TRACE, _NOISE, _ASCENT = range(4)


@dataclasses.dataclass(frozen=True)
class SharpnessSettings:
    """What is measured, and how closely.

    Attributes:
      r: radius of the worst case.
      m: images that share a worst case.
      ascent_steps: gradients taken on the way to it; 1: as SAM.
      sigma: standard deviation of the noise on each parameter in the mean rise.
      directions: pairs of opposite draws of that noise.
      eigenvalues: how many, the largest.
      lanczos_steps: products with the Hessian in one run of Lanczos.
      lanczos_runs: runs for the spectral density.
      trace_samples: products for the trace.
      seed: of every draw.
    """

    r: float = 0.1
    m: int = 64
    ascent_steps: int = 5
    sigma: float = 0.01
    directions: int = 10
    eigenvalues: int = 5
    lanczos_steps: int = 40
    lanczos_runs: int = 2
    trace_samples: int = 30
    seed: int = 0

    def __post_init__(self):
        for field, value in vars(self).items():
            lowest = 0 if field in ("r", "sigma", "seed") else 1
            if value < lowest:
                raise UserError(f"--{field} is {value}; it must be at least {lowest}.")

    @property
    def num_steps(self) -> int:
        """Walks through the data set, nearly."""
        return self.lanczos_runs * self.lanczos_steps + self.trace_samples + self.directions + 3


def measure_sharpness(
    whole_set: WholeSet,
    params: PyTree,
    batch_stats: PyTree,
    settings: SharpnessSettings,
    *,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Measures a minimum over a whole data set.

    Args:
      whole_set: the loss.
      params, batch_stats: where.
      settings: what is measured.
      show_progress: on stderr.

    Returns:
      `loss`, `error_rate`, `gradient_norm`; `eigenvalues` with `eigenvalue_errors` (a bound for
      each), `trace` with `trace_error` (standard error), `density` (`points`, `density`),
      `worst_case_rise` and `mean_rise` with `mean_rise_error`; and the settings.
    """
    key = jax.random.PRNGKey(settings.seed)
    disable = None if show_progress else True  # None: shown on a terminal
    with tqdm.tqdm(total=settings.num_steps, unit=" walks", disable=disable) as bar:
        loss, error_rate = whole_set.loss_and_error(params, batch_stats)
        gradient = whole_set.gradient(params, batch_stats)
        bar.update(2)
        figures = {
            "num_images": whole_set.num_images,
            "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
            "loss": loss,
            "error_rate": error_rate,
            "gradient_norm": float(tree.global_norm(gradient)),
        }
        figures |= _spectrum(whole_set, params, batch_stats, settings, key, bar)
        figures |= _mean_rise(whole_set, params, batch_stats, settings, loss, key, bar)
        figures["worst_case_rise"] = worst_case_over_groups(
            whole_set, params, batch_stats, settings, jax.random.fold_in(key, _ASCENT)
        )
        bar.update()
    return figures | {"settings": dataclasses.asdict(settings)}


def worst_case_over_groups(
    whole_set: WholeSet,
    params: PyTree,
    batch_stats: PyTree,
    settings: SharpnessSettings,
    key: jax.Array,
) -> float:
    """m-sharpness: the mean over groups of m images of their `worst_case_rise`.

    Raises:
      UserError: a device's part of a batch does not divide into groups of m.
    """

    def count_times_rise(inputs, group):
        params, batch_stats = inputs
        count = jnp.sum(group["mask"] > 0)

        def loss_fn(params):
            return whole_set.batch_loss(params, batch_stats, group).sum() / jnp.maximum(count, 1)

        return count * worst_case_rise(loss_fn, params, settings.r, settings.ascent_steps, key)

    total = whole_set.mapped(count_times_rise, group_size=settings.m)((params, batch_stats))
    return float(total) / whole_set.num_images


def _spectrum(whole_set, params, batch_stats, settings, key, bar):
    flat, unravel = ravel_pytree(params)

    def product(vector):
        result = whole_set.hessian_product(params, batch_stats, unravel(vector))
        bar.update()
        return ravel_pytree(result)[0]

    key_of_run = jax.random.fold_in(key, _LANCZOS)
    runs = [
        spectrum.lanczos(
            product,
            spectrum.random_direction(jax.random.fold_in(key_of_run, run), flat.size),
            settings.lanczos_steps,
        )
        for run in range(settings.lanczos_runs)
    ]
    eigenvalues, errors = runs[0].largest(settings.eigenvalues)
    trace, trace_error = spectrum.hutchinson_trace(
        product, flat.size, settings.trace_samples, jax.random.fold_in(key, _TRACE)
    )
    points, density = spectrum.spectral_density(runs)
    return {
        "eigenvalues": eigenvalues.tolist(),
        "eigenvalue_errors": errors.tolist(),
        "trace": trace,
        "trace_error": trace_error,
        "density": {"points": points.tolist(), "density": density.tolist()},
    }


def _mean_rise(whole_set, params, batch_stats, settings, loss, key, bar):
    """Over parameters with Gaussian noise; opposite draws cancel the slope (arXiv 2302.07011)."""
    key = jax.random.fold_in(key, _NOISE)
    rises = []
    for number in range(settings.directions):
        noise = normal_like(jax.random.fold_in(key, number), params)
        pair = [
            whole_set.loss_and_error(tree.add(params, noise, sign * settings.sigma), batch_stats)[0]
            for sign in (1, -1)
        ]
        rises.append(np.mean(pair) - loss)
        bar.update()
    error = np.std(rises, ddof=1) / np.sqrt(len(rises)) if len(rises) > 1 else np.nan
    return {"mean_rise": float(np.mean(rises)), "mean_rise_error": float(error)}
