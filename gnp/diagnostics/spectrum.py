"""Eigenvalues, trace and spectral density of a symmetric matrix, from its products with vectors.

The matrix is the Hessian of a loss; `draw_spectrum` is its picture.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gnp.report.style import BLUE, RED, new_figure, save_figure, tidy

Product = Callable[[jax.Array], jax.Array]

# Lanczos ends when the new direction is this small, relative to the matrix: none is left.
_EXHAUSTED = 1e-6
# Where the logarithmic axis of the density ends.
_LOWEST_DENSITY = 1e-6


class Tridiagonal(NamedTuple):
    """The result of Lanczos on a matrix A: the tridiagonal matrix Q A Qᵀ.

    Attributes:
      diagonal: m numbers.
      off_diagonal: m − 1 numbers.
      rest: length of the next direction, which was not taken.
    """

    diagonal: np.ndarray
    off_diagonal: np.ndarray
    rest: float

    def eigenvalues_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values, ascending, and the squared first components of their vectors."""
        values, vectors = self._eigenpairs()
        return values, vectors[0] ** 2

    def largest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The largest Ritz values, descending, and bounds of their distance from an eigenvalue.

        No bound is below the rounding of float32.
        """
        values, vectors = self._eigenpairs()
        rounding = np.finfo(np.float32).eps * abs(values).max()
        bounds = np.maximum(self.rest * abs(vectors[-1]), rounding)
        return values[::-1][:count], bounds[::-1][:count]

    def _eigenpairs(self):
        matrix = np.diag(self.diagonal)
        matrix += np.diag(self.off_diagonal, 1) + np.diag(self.off_diagonal, -1)
        return np.linalg.eigh(matrix)


def lanczos(product: Product, start: jax.Array, num_steps: int) -> Tridiagonal:
    r"""Lanczos with full reorthogonalization (Golub and Van Loan, section 10.3).

    :math:`A q_k = \beta_{k-1} q_{k-1} + \alpha_k q_k + \beta_k q_{k+1}` for directions q.
    Each new direction is made orthogonal to all earlier ones, twice. Otherwise rounding errors
    produce copies of eigenvalues. The directions take num_steps x n numbers of memory.

    >>> matrix = jnp.diag(jnp.array([1.0, 2.0, 5.0]))
    >>> found = lanczos(lambda v: matrix @ v, start=jnp.ones(3), num_steps=3)
    >>> print(found.largest(2)[0].round(3))
    [5. 2.]

    Args:
      product: the vector A·v of a vector v.
      start: the first direction, of any length, n numbers.
      num_steps: largest number of products; fewer suffice if the directions are exhausted.
    """
    basis = jnp.zeros((min(num_steps, start.size), start.size), jnp.float32)
    direction = start / jnp.linalg.norm(start)
    diagonal, off_diagonal = [], []
    for step in range(len(basis)):
        basis = basis.at[step].set(direction)
        image = product(direction)
        diagonal.append(float(_dot(direction, image)))
        rest = _orthogonal_part(basis, image)
        length = float(jnp.linalg.norm(rest))
        scale = max(map(abs, [*diagonal, *off_diagonal]))
        if step + 1 == len(basis) or length <= _EXHAUSTED * scale:
            break
        off_diagonal.append(length)
        direction = rest / length
    return Tridiagonal(np.array(diagonal), np.array(off_diagonal), length)


def random_direction(key: jax.Array, size: int) -> jax.Array:
    """A direction from the uniform distribution on the unit sphere."""
    normal = jax.random.normal(key, (size,))
    return normal / jnp.linalg.norm(normal)


def hutchinson_trace(
    product: Product, size: int, num_samples: int, key: jax.Array
) -> tuple[float, float]:
    """The trace as the mean of :math:`v^T A v` over vectors v of random signs (Hutchinson 1989).

    >>> matrix = jnp.diag(jnp.array([1.0, 2.0, 5.0]))
    >>> hutchinson_trace(lambda v: matrix @ v, size=3, num_samples=4, key=jax.random.key(0))
    (8.0, 0.0)

    Returns:
      The estimate and its standard error, nan with a single sample.
    """
    samples = []
    for number in range(num_samples):
        signs = jax.random.rademacher(jax.random.fold_in(key, number), (size,), jnp.float32)
        samples.append(float(_dot(signs, product(signs))))
    error = np.std(samples, ddof=1) / np.sqrt(num_samples) if num_samples > 1 else np.nan
    return float(np.mean(samples)), float(error)


def spectral_density(
    tridiagonals: list[Tridiagonal], num_points: int = 512, width: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Stochastic Lanczos quadrature (arXiv 1901.10159, section 2).

    Each run of Lanczos from a random direction gives nodes (its Ritz values) and weights. A
    Gaussian at each node, averaged over the runs, estimates the density of the eigenvalues:
    the mean of :math:`\sum_i w_i \, N(t; \lambda_i, \sigma^2)`.

    >>> matrix = jnp.diag(jnp.array([1.0, 2.0, 5.0]))
    >>> run = lanczos(lambda v: matrix @ v, random_direction(jax.random.key(0), 3), num_steps=3)
    >>> points, density = spectral_density([run])
    >>> print(f"{np.trapezoid(density, points):.3f}")
    1.000

    Args:
      tridiagonals: from `lanczos`, each from a `random_direction`.
      num_points: of the density, evenly spaced over the spectrum and a margin.
      width: standard deviation of the Gaussians; None: 1 % of the spectrum's width.

    Returns:
      The points and the density there, whose integral is 1.
    """
    pairs = [tridiagonal.eigenvalues_and_weights() for tridiagonal in tridiagonals]
    lowest = min(values[0] for values, _ in pairs)
    highest = max(values[-1] for values, _ in pairs)
    width = width or 0.01 * (highest - lowest) or 1e-6
    points = np.linspace(lowest - 5 * width, highest + 5 * width, num_points)
    density = np.zeros(num_points)
    for values, weights in pairs:
        bumps = np.exp(-((points[:, None] - values) ** 2) / (2 * width**2))
        density += bumps @ weights / (np.sqrt(2 * np.pi) * width * len(pairs))
    return points, density


def draw_spectrum(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws the density of the eigenvalues, and the largest of them as lines.

    Args:
      figures: with `density` (`points`, `density`), `eigenvalues`, `trace`, `trace_error`.
      out_path: the PNG to write.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.add_subplot()
    title = (
        f"λ₁ = {figures['eigenvalues'][0]:.3g}, "
        f"trace = {figures['trace']:.3g} ± {figures['trace_error']:.2g}"
    )
    tidy(axes, title, "eigenvalue of the Hessian (dashed: the largest ones)", "density")
    density = np.maximum(figures["density"]["density"], _LOWEST_DENSITY)
    axes.fill_between(figures["density"]["points"], _LOWEST_DENSITY, density, color=BLUE)
    for value in figures["eigenvalues"]:
        axes.axvline(value, color=RED, linewidth=0.8, linestyle="--")
    axes.set(yscale="log", ylim=(_LOWEST_DENSITY, None))
    save_figure(figure, out_path)


def _dot(a, b):
    return jnp.dot(a, b, precision="highest")


@jax.jit
def _orthogonal_part(basis, vector):
    for _ in range(2):
        components = jnp.dot(basis, vector, precision="highest")
        vector = vector - jnp.dot(components, basis, precision="highest")
    return vector
