"""The penalized gradient with Flax Linen: batch norm and dropout."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from gnp.regularization import gradient_norm

inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)


class Net(nn.Module):
    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Dense(32)(inputs)
        x = nn.relu(nn.BatchNorm(momentum=0.9, use_running_average=not train)(x))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(2)(x)


model = Net()
variables = model.init(jax.random.key(1), inputs, train=False)
params, stats = variables["params"], variables["batch_stats"]
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, stats, inputs, labels, key):
    logits, new = model.apply(
        {"params": params, "batch_stats": stats},
        inputs,
        train=True,
        mutable="batch_stats",
        rngs={"dropout": key},
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses), new["batch_stats"]


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
logits = model.apply({"params": params, "batch_stats": stats}, inputs, train=False)
print(f"loss {loss:.4f}, accuracy {jnp.mean(logits.argmax(1) == labels):.3f}")
