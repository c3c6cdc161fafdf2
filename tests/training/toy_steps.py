"""A training step of a toy model, with a state and batches for it."""

import functools

import jax
import numpy as np

from gnp.optimizer.build import build_optimizer
from gnp.regularization.ascent import STEEPEST
from gnp.training import parallel
from gnp.training.objective import Objective
from gnp.training.state import create_state
from gnp.training.step import make_train_step
from tests.training.toy import ToyModel, split, toy_settings

BATCH = 16
RATE = 0.1
ONE_PASS = {"ascent": "momentum", "alpha": 1.0}


def penalty(total_steps=5, **fields):
    """The penalty of a config with these fields of `gnp`."""
    fields = {"r": 0.5, "alpha": 0.8} | fields
    settings = toy_settings(**{f"gnp.{name}": value for name, value in fields.items()})
    return settings.penalty.in_steps(steps_per_epoch=1, total_steps=total_steps)


def batch_of(seed):
    rng = np.random.default_rng(seed)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, BATCH)]
    return {"image": rng.normal(size=(BATCH, 2, 2, 1)).astype(np.float32), "label": labels}


def build(model=None, optimizer="SGD", penalty=None, **step_options):
    """A fresh state and a step of a toy model, by default without batch norm."""
    model = model or ToyModel(use_batch_norm=False)
    optimizer = build_optimizer(optimizer, {})
    step = make_train_step(
        Objective(model, l2=1e-3), optimizer, lambda _: RATE, penalty=penalty, **step_options
    )
    state = create_state(
        model,
        optimizer,
        image_shape=(2, 2, 1),
        init_seed=0,
        seed=0,
        ascent=penalty.form.ascent if penalty else STEEPEST,
    )
    return state, parallel.map_train_step(step)


def run(*, devices=1, steps=3, standard_steps=(), arranged=lambda batch: batch, **options):
    """Takes some steps; returns the state and the metrics of the last one."""
    state, penalized = build(**options)
    if standard_steps:
        _, standard = build(**options, is_penalized=False)
    for number in range(steps):
        step = standard if number in standard_steps else penalized
        state, metrics = step(state, None, split(arranged(batch_of(number)), devices))
    return state, metrics


def assert_trees_close(a, b, rtol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-7), a, b)
