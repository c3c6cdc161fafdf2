"""The penalized gradient with optax, and a warmup of the penalty as a schedule."""

import jax
import jax.numpy as jnp
import optax

from gnp.regularization import gradient_norm
from gnp.regularization.warmup import penalty_warmup

inputs = jax.random.normal(jax.random.PRNGKey(0), (200, 5))
targets = jnp.sin(inputs @ jnp.linspace(-0.5, 0.5, 5))
params = {"hidden": 0.3 * jax.random.normal(jax.random.PRNGKey(1), (5, 16)), "out": jnp.ones(16)}


def loss_fn(params, inputs, targets):
    return jnp.mean((jnp.tanh(inputs @ params["hidden"]) @ params["out"] - targets) ** 2)


# r grows from 0 over the first 100 steps. Both are optax schedules.
r, alpha = penalty_warmup("r", r=0.05, alpha=0.8, warmup_steps=100)
penalized = gradient_norm.value_and_grad(loss_fn, r=r, alpha=alpha)
optimizer = optax.adamw(1e-2)


@jax.jit
def step(params, state, number):
    loss, gradient = penalized(params, inputs, targets, step=number)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, loss


state = optimizer.init(params)
for number in range(300):
    params, state, loss = step(params, state, number)
print(f"loss {loss:.4f}")
