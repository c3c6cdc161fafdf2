"""The penalized gradient with Haiku: batch norm and dropout."""

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)


@hk.transform_with_state
def model(inputs, train):
    x = hk.Linear(32)(inputs)
    x = jax.nn.relu(hk.BatchNorm(True, True, decay_rate=0.9)(x, is_training=train))
    x = hk.dropout(hk.next_rng_key(), 0.1, x) if train else x
    return hk.Linear(2)(x)


params, stats = model.init(jax.random.key(1), inputs, train=True)
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, stats, inputs, labels, key):
    logits, stats = model.apply(params, stats, key, inputs, train=True)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses), stats


# Both passes drop the units that the key selects. The statistics come from the first pass.
penalized = gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8, has_aux=True)


@jax.jit
def step(params, stats, state, key):
    (loss, stats), gradient = penalized(params, stats, inputs, labels, key)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), stats, state, loss


state = optimizer.init(params)
for key in jax.random.split(jax.random.key(2), 200):
    params, stats, state, loss = step(params, stats, state, key)
logits, _ = model.apply(params, stats, None, inputs, train=False)
print(f"loss {loss:.4f}, accuracy {jnp.mean(logits.argmax(1) == labels):.3f}")
