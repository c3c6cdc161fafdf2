"""Steps of each ascent are those of a loop written out, in float64."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests.training.toy import split
from tests.training.toy_steps import ONE_PASS, RATE, batch_of, build, penalty

pytestmark = pytest.mark.usefixtures("_compile_fast")

R, ALPHA, L2, CLIPPING = 0.5, 0.8, 1e-3, 0.4
IS_PENALIZED = (True, True, False, False, True)


class Batch(NamedTuple):
    """What a loop knows of a batch: functions of all parameters as one vector."""

    loss: Callable  # without the L2 term
    slope: Callable  # the gradient with it, of all images or of a first share of them


def unit(vector):
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def mixed(first, second):
    return (1 - ALPHA) * first + ALPHA * second


def momentum(batch, theta, average, is_penalized, *, sign=1, decay=0.9):
    gradient = batch.slope(theta + is_penalized * sign * R * unit(average))
    return gradient, decay * average + (1 - decay) * gradient


def friendly(batch, theta, average, is_penalized):
    clean = batch.slope(theta)
    average = 0.9 * average + 0.1 * clean
    if not is_penalized:
        return clean, average
    return mixed(clean, batch.slope(theta + R * unit(clean - average))), average


def share(batch, theta, memory, is_penalized):
    if not is_penalized:
        return batch.slope(theta), memory
    clean = batch.slope(theta, share=0.25)
    return mixed(clean, batch.slope(theta + R * unit(clean))), memory


def some_parameters(batch, theta, memory, is_penalized):
    clean = batch.slope(theta)
    if not is_penalized:
        return clean, memory
    # Dense_0 has 8 biases and 32 weights, which come first.
    chosen = np.where(np.arange(len(theta)) < 40, clean, 0)
    return mixed(clean, batch.slope(theta + R * unit(chosen))), memory


def look_sam(batch, theta, orthogonal, is_penalized):
    clean = batch.slope(theta)
    if not is_penalized:
        return clean + 0.7 * np.linalg.norm(clean) * unit(orthogonal), orthogonal
    gradient = mixed(clean, batch.slope(theta + R * unit(clean)))
    return gradient, gradient - gradient @ clean / (clean @ clean) * clean


def shrinking(batch, theta, loss, is_penalized):
    clean = batch.slope(theta)
    if not is_penalized:
        return clean, loss
    there = theta + R * min(1, loss / 2) * unit(clean)
    return mixed(clean, batch.slope(there)), 0.9 * loss + 0.1 * batch.loss(theta)


def shrinking_momentum(batch, theta, memory, is_penalized):
    average, loss = memory[:-1], memory[-1]
    there = theta + is_penalized * R * min(1, loss / 2) * unit(average)
    gradient = batch.slope(there)
    if is_penalized:
        loss = 0.9 * loss + 0.1 * batch.loss(there)
    return gradient, np.append(0.9 * average + 0.1 * gradient, loss)


def steep(batch, theta, memory, is_penalized):
    mean, variance, step = memory
    clean = batch.slope(theta)
    mean = 0.9 * mean + 0.1 * clean @ clean
    variance = 0.9 * variance + 0.1 * (clean @ clean - mean) ** 2
    is_long = clean @ clean >= mean + (1 - 2 * step / 5) * variance**0.5
    there = theta + R * unit(clean)
    gradient = mixed(clean, batch.slope(there)) if is_penalized and is_long else clean
    return gradient, np.array([mean, variance, step + 1])


NUM_PARAMETERS = 67
ZEROS, NOTHING = np.zeros(NUM_PARAMETERS), np.zeros(0)
METHODS = {
    "momentum": (ONE_PASS, momentum, ZEROS),
    "momentum_descent": (
        ONE_PASS | {"ascent": "momentum_descent", "ascent_decay": 0.5},
        functools.partial(momentum, sign=-1, decay=0.5),
        ZEROS,
    ),
    "stale": (ONE_PASS | {"ascent": "stale"}, functools.partial(momentum, decay=0), ZEROS),
    "friendly": ({"ascent": "friendly"}, friendly, ZEROS),
    "share": ({"ascent_share": 0.25}, share, NOTHING),
    "perturb": ({"perturb": ("Dense_0/*",)}, some_parameters, NOTHING),
    "LookSAM": ({"reuse": 0.7}, look_sam, ZEROS),
    "shrinking": ({"shrink_r_below": 2.0}, shrinking, np.array([2.0])),
    "shrinking momentum": (
        ONE_PASS | {"shrink_r_below": 2.0},
        shrinking_momentum,
        np.append(ZEROS, 2.0),
    ),
    "AE-SAM": ({"when.steep": True}, steep, np.zeros(3)),
}


def descend(method, memory, batches, theta):
    """Gradient descent with Nesterov's momentum on clipped gradients."""
    velocity = np.zeros_like(theta)
    for batch, is_penalized in zip(batches, IS_PENALIZED, strict=True):
        gradient, memory = method(batch, theta, memory, is_penalized)
        gradient = gradient * min(1, CLIPPING / np.linalg.norm(gradient))
        velocity = 0.9 * velocity + gradient
        theta = theta - RATE * (gradient + 0.9 * velocity)
    return theta, memory


def as_functions(images, unravel):
    """The loss of the toy model written out, and its gradient."""

    def data_loss(vector, part):
        params = unravel(vector)
        hidden, last = params["Dense_0"], params["Dense_1"]
        inputs = part["image"].reshape(len(part["image"]), -1)
        hidden = jax.nn.gelu(inputs @ hidden["kernel"] + hidden["bias"])
        logits = hidden @ last["kernel"] + last["bias"]
        return -jnp.mean(jnp.sum(part["label"] * jax.nn.log_softmax(logits), axis=1))

    @jax.jit
    @jax.grad
    def whole_slope(vector, part):
        return data_loss(vector, part) + L2 / 2 * vector @ vector

    def slope(theta, share=1.0):
        part = {name: array[: int(share * len(array))] for name, array in images.items()}
        return np.asarray(whole_slope(theta, part))

    return Batch(lambda theta: float(data_loss(theta, images)), slope)


def batches_in_float64():
    batches = [
        {name: array.astype(np.float64) for name, array in batch_of(seed).items()}
        for seed in range(len(IS_PENALIZED))
    ]
    # There is little to learn from the second one, so AE-SAM does not penalize it.
    batches[1] = {"image": 0.1 * batches[1]["image"], "label": np.full((16, 3), 1 / 3)}
    return batches


def in_float64(tree):
    def widened(leaf):
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(widened, tree)


@pytest.mark.parametrize("name", METHODS)
def test_steps_are_those_of_a_loop_written_out(name):
    fields, method, memory = METHODS[name]
    with jax.enable_x64(True):
        options = {
            "optimizer": "Momentum",
            "penalty": penalty(**fields),
            "gradient_clipping": CLIPPING,
        }
        state, penalized = build(**options)
        _, standard = build(**options, is_penalized=False)
        state, batches = in_float64(state), batches_in_float64()
        start, unravel = ravel_pytree(state.params)
        expected, expected_memory = descend(
            method, memory, [as_functions(batch, unravel) for batch in batches], np.array(start)
        )
        for batch, is_penalized in zip(batches, IS_PENALIZED, strict=True):
            step = penalized if is_penalized else standard
            state, _ = step(state, None, split(batch, 1))
        found, found_memory = ravel_pytree(state.params)[0], ravel_pytree(state.ascent_memory)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found_memory, expected_memory, rtol=1e-9, atol=1e-12)
