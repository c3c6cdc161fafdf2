"""The penalized gradient on several devices: jit with a mesh.

The program is that of one device; the batch lies on all of them. Means over the batch, the batch
norm's too, and the perturbation are those of the whole batch, so there is nothing to average.
"""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gnp.regularization import gradient_norm

mesh = jax.make_mesh((jax.device_count(),), ("devices",), (AxisType.Auto,))
split = NamedSharding(mesh, PartitionSpec("devices"))
whole = NamedSharding(mesh, PartitionSpec())
inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)


class Net(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        x = nn.BatchNorm(momentum=0.9, use_running_average=False)(nn.Dense(32)(inputs))
        return nn.Dense(2)(nn.Dropout(0.1, deterministic=False)(nn.relu(x)))


model = Net()
variables = model.init(jax.random.key(1), inputs)
params, stats = variables["params"], variables["batch_stats"]
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, stats, inputs, labels, key):
    variables, rngs = {"params": params, "batch_stats": stats}, {"dropout": key}
    logits, new = model.apply(variables, inputs, mutable="batch_stats", rngs=rngs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses), new["batch_stats"]


penalized = gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8, has_aux=True)


@jax.jit
def step(params, stats, state, inputs, labels, key):
    (loss, stats), gradient = penalized(params, stats, inputs, labels, key)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), stats, state, loss


inputs, labels = jax.device_put((inputs, labels), split)
params, stats, state = jax.device_put((params, stats, optimizer.init(params)), whole)
for key in jax.random.split(jax.random.key(2), 200):
    params, stats, state, loss = step(params, stats, state, inputs, labels, key)
    loss.block_until_ready()  # virtual CPU devices may block if several steps are in flight
print(f"loss {loss:.4f} on {jax.device_count()} devices")
