"""The penalized gradient in plain JAX: logistic regression with plain gradient descent."""

import jax
import jax.numpy as jnp

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.PRNGKey(0), (200, 5))
labels = (inputs @ jnp.arange(1.0, 6.0) > 0).astype(jnp.float32)


def loss_fn(weights, inputs, labels):
    logits = inputs @ weights
    return jnp.mean(jnp.logaddexp(0, logits) - labels * logits)


# Replaces jax.value_and_grad(loss_fn):
penalized = jax.jit(gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8))

weights = jnp.zeros(5)
for _step in range(100):
    loss, gradient = penalized(weights, inputs, labels)
    weights -= 0.5 * gradient
print(f"loss {loss:.4f}")
