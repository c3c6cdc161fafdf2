"""The penalized gradient with Flax NNX: batch norm and dropout."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)

rngs = nnx.Rngs(0)
model = nnx.Sequential(
    nnx.Linear(5, 32, rngs=rngs),
    nnx.BatchNorm(32, momentum=0.9, rngs=rngs),
    nnx.relu,
    nnx.Dropout(0.1, rngs=rngs),
    nnx.Linear(32, 2, rngs=rngs),
)
model.train()
# The rest is the statistics of the batch norm, and the key and the counter of the dropout.
structure, params, rest = nnx.split(model, nnx.Param, ...)
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, rest, inputs, labels):
    # A copy: a gradient must not change variables from outside (TraceContextError).
    model = nnx.merge(structure, params, rest, copy=True)
    losses = optax.softmax_cross_entropy_with_integer_labels(model(inputs), labels)
    return jnp.mean(losses), nnx.state(model, nnx.Not(nnx.Param))


# Both passes start from the same rest, so they drop the same units. The new rest comes from the
# first pass.
penalized = gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8, has_aux=True)


@jax.jit
def step(params, rest, state):
    (loss, rest), gradient = penalized(params, rest, inputs, labels)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), rest, state, loss


state = optimizer.init(params)
for _step in range(200):
    params, rest, state, loss = step(params, rest, state)
nnx.update(model, params, rest)
model.eval()
logits = model(inputs)
print(f"loss {loss:.4f}, accuracy {jnp.mean(logits.argmax(1) == labels):.3f}")
