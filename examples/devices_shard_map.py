"""The penalized gradient on several devices: shard_map, where each device runs its own program.

- `pmean` of the loss inside of `loss_fn`: shard_map then averages the gradients, so all devices
  share one perturbation and one update.
- `axis_name` of the batch norm: its statistics are those of the whole batch, on all devices.
- The dropout key is folded with the number of the device: each drops units of its own.
"""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import NamedSharding, PartitionSpec

from gnp.regularization import gradient_norm

mesh = jax.make_mesh((jax.device_count(),), ("devices",))
split, whole = PartitionSpec("devices"), PartitionSpec()
inputs = jax.random.normal(jax.random.key(0), (200, 5))
labels = (jnp.sum(inputs**2, axis=1) > 4).astype(jnp.int32)


class Net(nn.Module):
    axis_name: str | None = "devices"

    @nn.compact
    def __call__(self, inputs, train=True):
        norm = nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis_name)
        x = nn.relu(norm(nn.Dense(32)(inputs)))
        return nn.Dense(2)(nn.Dropout(0.1, deterministic=not train)(x))


model = Net()
variables = model.init(jax.random.key(1), inputs, train=False)
params, stats = variables["params"], variables["batch_stats"]
optimizer = optax.sgd(0.3, momentum=0.9)


def loss_fn(params, stats, inputs, labels, key):
    rngs = {"dropout": jax.random.fold_in(key, jax.lax.axis_index("devices"))}
    variables = {"params": params, "batch_stats": stats}
    logits, new = model.apply(variables, inputs, mutable="batch_stats", rngs=rngs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jax.lax.pmean(jnp.mean(losses), "devices"), new["batch_stats"]


penalized = gradient_norm.value_and_grad(loss_fn, r=0.05, alpha=0.8, has_aux=True)
in_specs = (whole, whole, split, split, whole)
over_devices = jax.shard_map(penalized, mesh=mesh, in_specs=in_specs, out_specs=whole)


@jax.jit
def step(params, stats, state, key):
    (loss, stats), gradient = over_devices(params, stats, inputs, labels, key)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), stats, state, loss


inputs, labels = jax.device_put((inputs, labels), NamedSharding(mesh, split))
state = optimizer.init(params)
for key in jax.random.split(jax.random.key(2), 200):
    params, stats, state, loss = step(params, stats, state, key)
    loss.block_until_ready()  # virtual CPU devices may block if several steps are in flight
print(f"loss {loss:.4f} on {jax.device_count()} devices")
