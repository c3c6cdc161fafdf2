"""The penalized gradient with Equinox: penalize the arrays of a model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.PRNGKey(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)

model = eqx.nn.MLP(5, 2, width_size=32, depth=1, key=jax.random.PRNGKey(1))
params, structure = eqx.partition(model, eqx.is_inexact_array)
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, inputs, labels):
    logits = jax.vmap(eqx.combine(params, structure))(inputs)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


@eqx.filter_jit
def step(params, state):
    penalized = gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8)
    loss, gradient = penalized(params, inputs, labels)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, loss


state = optimizer.init(params)
for _step in range(200):
    params, state, loss = step(params, state)
print(f"loss {loss:.4f}")
