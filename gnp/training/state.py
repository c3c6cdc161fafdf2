"""All that training changes, in one tree."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from gnp.regularization.ascent import STEEPEST, Ascent
from gnp.training import freeze as freezing

PyTree = Any


@struct.dataclass
class TrainState:
    """What a checkpoint holds and a step updates.

    Attributes:
      step: number of steps taken, int32.
      params: the model's parameters that are trained: all, if none is frozen.
      batch_stats: running statistics of its batch norms; empty if it has none.
      opt_state: the optimizer's state.
      key: the run's random key; a step folds its number into it.
      skipped: number of steps skipped because they were not finite, int32.
      ascent_memory: what the ascent remembers of past gradients; None without.
      ema: moving averages of the model's variables (`params` and `batch_stats`); None without.
      frozen: the other parameters; None if there are none.
    """

    step: jax.Array
    params: PyTree
    batch_stats: PyTree
    opt_state: optax.OptState
    key: jax.Array
    skipped: jax.Array
    ascent_memory: PyTree | None = None
    ema: PyTree | None = None
    frozen: PyTree | None = None

    @property
    def all_params(self) -> PyTree:
        """The parameters of the whole model."""
        return freezing.merged(self.params, self.frozen)

    @property
    def variables(self) -> dict[str, PyTree]:
        """What the model takes in addition to its input."""
        return {"params": self.all_params, "batch_stats": self.batch_stats}

    def with_variables(self, variables: Mapping[str, PyTree]) -> "TrainState":
        """The same state with other parameters and batch statistics."""
        params, frozen = freezing.split_like(variables["params"], self.frozen)
        return self.replace(params=params, frozen=frozen, batch_stats=variables["batch_stats"])


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    image_shape: tuple[int, int, int],
    init_seed: int,
    seed: int,
    ascent: Ascent = STEEPEST,
    with_ema: bool = False,
    freeze: Sequence[str] = (),
) -> TrainState:
    """The state before the first step.

    >>> class Linear(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         return nn.Dense(2)(images)
    ...
    >>> state = create_state(Linear(), optax.sgd(0.1), image_shape=(8, 8, 3), init_seed=0, seed=0)
    >>> print(state.step, state.params["Dense_0"]["kernel"].shape)
    0 (3, 2)

    Args:
      model: called as `model(images, train=False)`.
      optimizer: its state is made for the parameters that are trained.
      image_shape: height, width and channels.
      init_seed: seed of the parameters.
      seed: seed of everything random in training.
      ascent: makes its memory for the model's parameters.
      with_ema: make room for moving averages.
      freeze: patterns of the parameters that are not trained, see `freeze.split`.

    Raises:
      UserError: a pattern matches nothing, or nothing would be trained.
    """

    @jax.jit
    def create():
        images = jnp.zeros((1, *image_shape))
        variables = model.init(jax.random.PRNGKey(init_seed), images, train=False)
        params, frozen = freezing.split(variables["params"], freeze)
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
            key=jax.random.PRNGKey(seed),
            skipped=jnp.zeros((), jnp.int32),
            ascent_memory=ascent.initial_memory(params),
            frozen=frozen,
        )
        if with_ema:
            state = state.replace(ema=jax.tree.map(jnp.zeros_like, state.variables))
        return state

    return create()


@jax.jit
def fingerprint(state: TrainState) -> jax.Array:
    """A 32-bit number that any change of a single bit of the state changes."""

    def of_leaf(leaf):
        # Narrow numbers are widened first; the bits of whole words are weighted by odd numbers.
        words = jax.lax.bitcast_convert_type(
            leaf.astype(jnp.float32) if leaf.dtype.itemsize < 4 else leaf, jnp.uint32
        ).ravel()
        weights = 2 * jnp.arange(words.size, dtype=jnp.uint32) + 1
        return jnp.sum(words * weights, dtype=jnp.uint32)

    leaves = jax.tree.leaves(state)
    return sum((2 * i + 1) * of_leaf(leaf) for i, leaf in enumerate(leaves)).astype(jnp.uint32)
