"""The penalized gradient with Flax NNX: split the model, penalize its parameters."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.PRNGKey(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)

rngs = nnx.Rngs(0)
model = nnx.Sequential(nnx.Linear(5, 32, rngs=rngs), nnx.relu, nnx.Linear(32, 2, rngs=rngs))
structure, params = nnx.split(model, nnx.Param)
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, inputs, labels):
    logits = nnx.merge(structure, params)(inputs)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


@jax.jit
def step(params, state):
    penalized = gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8)
    loss, gradient = penalized(params, inputs, labels)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, loss


state = optimizer.init(params)
for _step in range(200):
    params, state, loss = step(params, state)
nnx.update(model, params)
print(f"loss {loss:.4f}")
