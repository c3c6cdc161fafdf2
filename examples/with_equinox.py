"""The penalized gradient with Equinox: batch norm and dropout."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)


def create(key):
    first, last = jax.random.split(key)
    layers = [
        eqx.nn.Linear(5, 32, key=first),
        eqx.nn.BatchNorm(32, axis_name="images", momentum=0.9, mode="batch"),
        eqx.nn.Lambda(jax.nn.relu),
        eqx.nn.Dropout(0.1),
        eqx.nn.Linear(32, 2, key=last),
    ]
    return eqx.nn.Sequential(layers)


model, stats = eqx.nn.make_with_state(create)(jax.random.key(1))
params, structure = eqx.partition(model, eqx.is_inexact_array)
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, stats, inputs, labels, key):
    model, keys = eqx.combine(params, structure), jax.random.split(key, len(inputs))
    logits, stats = jax.vmap(
        lambda image, stats, key: model(image, stats, key=key),
        axis_name="images",
        in_axes=(0, None, 0),
        out_axes=(0, None),
    )(inputs, stats, keys)
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
trained = eqx.nn.inference_mode(eqx.combine(params, structure))
logits = jax.vmap(lambda image: trained(image, stats)[0])(inputs)
print(f"loss {loss:.4f}, accuracy {jnp.mean(logits.argmax(1) == labels):.3f}")
