"""The sharpness of a minimum: of the loss near it, and the spectrum of the Hessian at it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gnp.diagnostics import spectrum
from gnp.diagnostics.dataset_loss import WholeSet
from gnp.errors import UserError
from gnp.regularization import tree
from gnp.regularization.control_flow import scan
from gnp.training.monitoring.progress import Counter

PyTree = Any

# Each quantity has its own stream of random numbers.
_LANCZOS, _TRACE, _NOISE, _ASCENT = range(4)

# Images in a group that share a perturbation, where batches divide into such groups.
_USUAL_M = 64


@dataclasses.dataclass(frozen=True)
class SharpnessSettings:
    """What is measured, and how precisely.

    Attributes:
      r: radius of the worst-case sharpness.
      m: images in a group that share a perturbation (m-sharpness); None: 64, or the largest
        divisor of 64 that divides a device's part of a batch.
      ascent_steps: gradients taken to reach the worst case; 1: as SAM.
      sigma: standard deviation of the noise on each parameter in the mean sharpness.
      directions: pairs of opposite samples of that noise.
      eigenvalues: number of the largest eigenvalues.
      lanczos_steps: products with the Hessian in one run of Lanczos.
      lanczos_runs: runs for the spectral density.
      trace_samples: products for the trace.
      seed: of all samples.
    """

    r: float = 0.1
    m: int | None = None
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
            if value is not None and value < lowest:
                raise UserError(f"--{field} is {value}; it must be at least {lowest}.")

    @property
    def num_passes(self) -> int:
        """Passes over the data set, where all steps of the worst case count as one pass."""
        products = self.lanczos_runs * self.lanczos_steps + self.trace_samples
        return products + 2 * self.directions + 3


def measure_sharpness(
    whole_set: WholeSet,
    params: PyTree,
    batch_stats: PyTree,
    settings: SharpnessSettings,
    *,
    show_progress: bool = True,
) -> dict[str, Any]:
    r"""Measures the sharpness at some parameters.

    The mean sharpness is that of noise, :math:`E[L(\theta + \varepsilon)] - L(\theta)`.

    >>> from gnp.ds_pipeline.build import build_source
    >>> from gnp.training import parallel
    >>> class Linear(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         return nn.Dense(10)(images.reshape(len(images), -1))
    ...
    >>> source = build_source(gnp.load_config("digits"))
    >>> variables = Linear().init(jax.random.key(0), jnp.ones((1, 8, 8, 1)), train=False)
    >>> params = parallel.replicate(variables["params"])
    >>> whole_set = WholeSet(Linear(), source)
    >>> settings = SharpnessSettings(m=16, eigenvalues=2, lanczos_steps=5)
    >>> figures = measure_sharpness(whole_set, params, {}, settings, show_progress=False)
    >>> figures["num_images"], len(figures["eigenvalues"])
    (360, 2)

    Args:
      whole_set: the loss over the data set.
      params, batch_stats: on all devices.
      settings: what is measured.
      show_progress: on stderr, see `gnp.training.monitoring.progress.Counter`.

    Returns:
      `num_images`, `num_parameters`, `loss`, `error_rate`, `gradient_norm`, `eigenvalues` with
      `eigenvalue_errors` (bounds), `trace` with `trace_error` (standard error), `density`
      (`points`, `density`), `worst_case_rise` (the worst-case sharpness), `mean_rise` (the mean
      sharpness) with `mean_rise_error` (standard error); and the `settings`.
    """
    if settings.m is None:
        divisor = math.gcd(_USUAL_M, whole_set.images_per_device)
        settings = dataclasses.replace(settings, m=divisor)
    key = jax.random.PRNGKey(settings.seed)
    params = tree.precise(params)
    flat, unravel = ravel_pytree(params)
    with Counter(settings.num_passes, "passes over the data", show=show_progress) as counter:

        def loss_at(params):
            loss, _ = whole_set.loss_and_error(params, batch_stats)
            counter.update()
            return loss

        def hessian_product(vector):
            product = whole_set.hessian_product(params, batch_stats, unravel(vector))
            counter.update()
            return ravel_pytree(product)[0]

        # First, as it ends where the batches do not divide into groups of m.
        worst_case = worst_case_over_groups(
            whole_set, params, batch_stats, settings, jax.random.fold_in(key, _ASCENT)
        )
        counter.update()
        loss, error_rate = whole_set.loss_and_error(params, batch_stats)
        gradient = whole_set.gradient(params, batch_stats)
        counter.update(2)
        spectrum_figures = _spectrum(hessian_product, flat.size, settings, key)
        mean, mean_error = _mean_sharpness(loss_at, params, loss, settings, key)
    return {
        "num_images": whole_set.num_images,
        "num_parameters": flat.size,
        "loss": loss,
        "error_rate": error_rate,
        "gradient_norm": float(tree.global_norm(gradient)),
        **spectrum_figures,
        "mean_rise": mean,
        "mean_rise_error": mean_error,
        "worst_case_rise": worst_case,
        "settings": dataclasses.asdict(settings),
    }


def worst_case_sharpness(
    loss_fn: Callable[[PyTree], jax.Array], params: PyTree, r: float, num_steps: int, key: jax.Array
) -> jax.Array:
    r"""How far the loss rises on a sphere around some parameters, as ascent finds it.

    :math:`\max_\varepsilon L(\theta + \varepsilon) - L(\theta)` with :math:`\|\varepsilon\| = r`.
    The first step is r·∇L/‖∇L‖, that of SAM (arXiv 2010.01412, equation 2). Further steps go to
    r·∇L(θ + ε)/‖∇L(θ + ε)‖, which never descends where L is convex (the generalized power method,
    Journée et al. 2010). The result is the largest value over all steps, so more steps never
    lower it.

    >>> sharpness = worst_case_sharpness(
    ...     lambda w: jnp.sum(w**2), jnp.array([3.0, 4.0]), 0.5, num_steps=1, key=jax.random.key(0)
    ... )
    >>> print(f"{sharpness:.2f}")  # 5.5² − 5²
    5.25

    Args:
      loss_fn: `params -> loss`.
      params: θ; moved in float32 or finer, whatever its type.
      r: the radius.
      num_steps: gradients taken, at least 1.
      key: of a random first direction where the gradient is zero.
    """
    value_and_gradient = jax.value_and_grad(loss_fn)
    params = tree.precise(params)
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


def worst_case_over_groups(
    whole_set: WholeSet,
    params: PyTree,
    batch_stats: PyTree,
    settings: SharpnessSettings,
    key: jax.Array,
) -> float:
    """m-sharpness: the mean over groups of m images of their `worst_case_sharpness`.

    Raises:
      UserError: a device's part of a batch does not divide into groups of m.
    """

    def weighted_sharpness(inputs, group):
        params, batch_stats = inputs
        count = jnp.sum(group["mask"] > 0)

        def loss_fn(params):
            return whole_set.batch_loss(params, batch_stats, group).sum() / jnp.maximum(count, 1)

        return count * worst_case_sharpness(loss_fn, params, settings.r, settings.ascent_steps, key)

    total = whole_set.mapped(weighted_sharpness, group_size=settings.m)((params, batch_stats))
    return float(total) / whole_set.num_images


def _direction(gradient, key):
    """The unit gradient; a random direction where the gradient is zero."""
    is_zero = tree.global_norm(gradient) == 0
    random = tree.unit(tree.normal_like(key, gradient))
    return jax.tree.map(lambda u, d: jnp.where(is_zero, d, u), tree.unit(gradient), random)


def _spectrum(hessian_product, size, settings, key):
    lanczos_key = jax.random.fold_in(key, _LANCZOS)
    runs = [
        spectrum.lanczos(
            hessian_product,
            spectrum.random_direction(jax.random.fold_in(lanczos_key, run), size),
            settings.lanczos_steps,
        )
        for run in range(settings.lanczos_runs)
    ]
    eigenvalues, errors = runs[0].largest(settings.eigenvalues)
    trace, trace_error = spectrum.hutchinson_trace(
        hessian_product, size, settings.trace_samples, jax.random.fold_in(key, _TRACE)
    )
    points, density = spectrum.spectral_density(runs)
    return {
        "eigenvalues": eigenvalues.tolist(),
        "eigenvalue_errors": errors.tolist(),
        "trace": trace,
        "trace_error": trace_error,
        "density": {"points": points.tolist(), "density": density.tolist()},
    }


def _mean_sharpness(loss_at, params, loss, settings, key):
    """Mean of L(θ + ε) − L(θ) over Gaussian noise ε, and its standard error.

    Opposite samples cancel the slope of the loss (arXiv 2302.07011).
    """
    key = jax.random.fold_in(key, _NOISE)
    samples = []
    for number in range(settings.directions):
        noise = tree.normal_like(jax.random.fold_in(key, number), params)
        pair = [loss_at(tree.add(params, noise, sign * settings.sigma)) for sign in (1, -1)]
        samples.append(np.mean(pair) - loss)
    error = np.std(samples, ddof=1) / np.sqrt(len(samples)) if len(samples) > 1 else np.nan
    return float(np.mean(samples)), float(error)
