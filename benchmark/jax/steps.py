"""One training step in several JAX implementations that do the same work.

The loss is the cross entropy plus an L2 term. The optimizer is SGD with momentum on the clipped
gradient. Batch statistics are those of the first pass. Both passes use the same random numbers.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh, PartitionSpec

from gnp.model import create_model
from gnp.optimizer.build import build_optimizer
from gnp.regularization.ascent import momentum
from gnp.regularization.passes import PenaltyForm
from gnp.training import parallel
from gnp.training.gradient import Penalty
from gnp.training.objective import STREAMS, Objective
from gnp.training.perturbation_groups import PerturbationGroups
from gnp.training.state import create_state
from gnp.training.step import make_train_step

L2 = 5e-4
LEARNING_RATE = 0.01
MOMENTUM = 0.9
CLIPPING = 5.0
RADIUS = 0.1
ALPHA = 0.8

TWO_PASS = PenaltyForm()
ONE_PASS = PenaltyForm(ascent=momentum())
QUARTER_BATCH = PenaltyForm(ascent_share=0.25)

_LARGE_IMAGES = ("ResNet50", "Swin_Tiny_224")
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


class Contender:
    """A compiled step and its state.

    Attributes:
      compiled: program of one call.
    """

    def __init__(self, step: Callable, state: Any, *data: Any, sub_steps: int = 1):
        """Args:
        step: `(state, *data) -> (state, metrics)`, jitted or mapped.
        state: first argument; it may be donated.
        *data: other arguments.
        sub_steps: calls per training step.
        """
        self.compiled = step.lower(state, *data).compile()
        self._step = step
        self._state, self._data = state, data
        self._calls = sub_steps
        self(2)

    @property
    def operations(self) -> float:
        """Floating-point operations of one call, as counted by the compiler."""
        return self.compiled.cost_analysis()["flops"]

    @property
    def traffic(self) -> float:
        """Bytes that one call reads and writes, as counted by the compiler."""
        return self.compiled.cost_analysis()["bytes accessed"]

    def __call__(self, steps: int) -> float:
        """Takes a number of steps; returns their seconds."""
        start = time.perf_counter()
        for _ in range(steps * self._calls):
            self._state, metrics = self._step(self._state, *self._data)
        jax.block_until_ready((self._state, metrics))
        return time.perf_counter() - start


class PlainState(NamedTuple):
    """State of the steps written by hand."""

    params: Any
    batch_stats: Any
    opt_state: Any
    step: jax.Array


def build_model(name: str, dtype: str = "float32") -> nn.Module:
    """Returns a registered model for ten classes that computes in this dtype."""
    return create_model(name, 10, dtype=_DTYPES[dtype])


def image_side(name: str) -> int:
    """Returns the image size that a model is measured with."""
    return 224 if name in _LARGE_IMAGES else 32


def make_batch(batch_size: int, image_size: int) -> dict[str, np.ndarray]:
    """Returns noise with labels of ten classes."""
    rng = np.random.default_rng(0)
    shape = (batch_size, image_size, image_size, 3)
    return {
        "image": rng.normal(size=shape).astype(np.float32),
        "label": np.eye(10, dtype=np.float32)[rng.integers(0, 10, batch_size)],
    }


def our_step(
    model: nn.Module,
    batch: dict,
    *,
    penalized: bool,
    form: PenaltyForm = TWO_PASS,
    groups: PerturbationGroups | None = None,
    map_step: Callable = parallel.map_train_step,
):
    """Returns the step of this project, mapped over devices as in a run, and its arguments."""
    optimizer = build_optimizer("Momentum", {"momentum": MOMENTUM, "nesterov": False})
    penalty = None
    if penalized:
        alpha = 1.0 if form.is_one_pass else ALPHA
        strength = map(optax.constant_schedule, (RADIUS, alpha))
        penalty = Penalty(*strength, form=form)
    step = make_train_step(
        Objective(model, l2=L2),
        optimizer,
        optax.constant_schedule(LEARNING_RATE),
        penalty=penalty,
        groups=groups or PerturbationGroups(),
        gradient_clipping=CLIPPING,
    )
    shape = batch["image"].shape[1:]
    state = create_state(
        model, optimizer, image_shape=shape, init_seed=0, seed=0, ascent=form.ascent
    )
    return map_step(step), parallel.replicate(state), None, parallel.split(batch)


def map_by_shard_map(step: Callable, mesh: Mesh) -> Callable:
    """Does the same as `parallel.map_train_step`, with jax.shard_map over a mesh."""

    def of_device(state, device_data, batch):
        return step(state, jax.tree.map(lambda x: x[0], batch))

    mapped = jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec(parallel.AXIS)),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=0)


def step_by_hand(model: nn.Module, batch: dict, *, penalized: bool):
    """Returns a step with one or two `jax.value_and_grad` and nothing else, and its arguments."""
    optimizer = _optimizer()

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        loss_fn = _loss(model, state, batch)
        (loss, batch_stats), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        if penalized:
            norm = optax.tree.norm(gradient)
            perturbed = jax.tree.map(lambda p, g: p + RADIUS * g / norm, state.params, gradient)
            second, _ = jax.grad(loss_fn, has_aux=True)(perturbed)
            gradient = jax.tree.map(lambda a, b: (1 - ALPHA) * a + ALPHA * b, gradient, second)
        return _update(optimizer, state, gradient, batch_stats), loss

    return step, _plain_state(model, batch, optimizer), jax.device_put(batch)


def optax_sam_opaque(model: nn.Module, batch: dict):
    """Returns a step of `optax.contrib.sam` in opaque mode, and its arguments."""
    optimizer = optax.contrib.sam(_optimizer(), _ascent(), opaque_mode=True)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        loss_fn = _loss(model, state, batch)
        (loss, batch_stats), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(
            gradient,
            state.opt_state,
            state.params,
            grad_fn=lambda params, _: jax.grad(loss_fn, has_aux=True)(params)[0],
        )
        params = optax.apply_updates(state.params, updates)
        return PlainState(params, batch_stats, opt_state, state.step + 1), loss

    return step, _plain_state(model, batch, optimizer), jax.device_put(batch)


def optax_sam_transparent(model: nn.Module, batch: dict):
    """Returns a step of `optax.contrib.sam` in transparent mode, and its arguments.

    A training step takes two calls. Both update the batch statistics, as optax documents.
    """
    optimizer = optax.contrib.sam(_optimizer(), _ascent())

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        loss_fn = _loss(model, state, batch)
        (loss, batch_stats), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        return _update(optimizer, state, gradient, batch_stats), loss

    return step, _plain_state(model, batch, optimizer), jax.device_put(batch)


def _optimizer():
    return optax.chain(
        optax.clip_by_global_norm(CLIPPING), optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    )


def _ascent():
    return optax.chain(optax.contrib.normalize(), optax.sgd(RADIUS))


def _plain_state(model, batch, optimizer):
    variables = jax.jit(functools.partial(model.init, train=False))(
        jax.random.PRNGKey(0), batch["image"][:1]
    )
    # Transparent mode also keeps the parameters in its state; donated buffers must not be shared.
    opt_state = jax.tree.map(jnp.copy, optimizer.init(variables["params"]))
    return PlainState(
        variables["params"], variables.get("batch_stats", {}), opt_state, jnp.int32(0)
    )


def _loss(model, state, batch):
    keys = jax.random.split(jax.random.fold_in(jax.random.PRNGKey(0), state.step), len(STREAMS))

    def loss_fn(params):
        logits, updated = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
            rngs=dict(zip(STREAMS, keys, strict=True)),
        )
        loss = optax.softmax_cross_entropy(logits.astype(jnp.float32), batch["label"]).mean()
        loss += 0.5 * L2 * sum(jnp.sum(jnp.square(p)) for p in jax.tree.leaves(params))
        return loss, updated.get("batch_stats", {})

    return loss_fn


def _update(optimizer, state, gradient, batch_stats):
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return PlainState(params, batch_stats, opt_state, state.step + 1)
