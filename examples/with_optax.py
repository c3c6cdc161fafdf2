"""The penalized gradient with optax alone: batch norm, dropout, and a warmup of the penalty."""

import jax
import jax.numpy as jnp
import optax

from gnp.regularization import gradient_norm
from gnp.regularization.warmup import penalty_warmup

inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)
params = {
    "hidden": 0.4 * jax.random.normal(jax.random.key(1), (5, 32)),
    "scale": jnp.ones(32),
    "bias": jnp.zeros(32),
    "out": 0.2 * jax.random.normal(jax.random.key(2), (32, 2)),
}
stats = {"mean": jnp.zeros(32), "var": jnp.ones(32)}


def apply(params, batch, inputs, keep=1.0):
    x = (inputs @ params["hidden"] - batch["mean"]) / jnp.sqrt(batch["var"] + 1e-5)
    x = keep * jax.nn.relu(params["scale"] * x + params["bias"])
    return x @ params["out"]


def loss_fn(params, stats, inputs, labels, key):
    x = inputs @ params["hidden"]
    batch = {"mean": x.mean(axis=0), "var": x.var(axis=0)}
    keep = jax.random.bernoulli(key, 0.9, x.shape) / 0.9
    logits = apply(params, batch, inputs, keep)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses), optax.incremental_update(batch, stats, 0.1)


# r grows from 0 over the first 100 steps. Both are optax schedules.
r, alpha = penalty_warmup("r", r=0.05, alpha=0.8, warmup_steps=100)
# Both passes drop the units that the key selects. The statistics come from the first pass.
penalized = gradient_norm.value_and_grad(loss_fn, r=r, alpha=alpha, has_aux=True)
optimizer = optax.adamw(3e-2)


@jax.jit
def step(params, stats, state, key, number):
    (loss, stats), gradient = penalized(params, stats, inputs, labels, key, step=number)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), stats, state, loss


state = optimizer.init(params)
for number, key in enumerate(jax.random.split(jax.random.key(3), 200)):
    params, stats, state, loss = step(params, stats, state, key, number)
logits = apply(params, stats, inputs)
print(f"loss {loss:.4f}, accuracy {jnp.mean(logits.argmax(1) == labels):.3f}")
