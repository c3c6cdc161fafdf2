"""bfloat16 in activations and products, float32 in everything that lasts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from config import digits
from gnp.ds_pipeline.build import build_source
from gnp.main.start.build import build_model
from gnp.optimizer.build import build_optimizer
from gnp.regularization.ascent import momentum
from gnp.runs.metrics import read_metrics
from gnp.training.loop import train
from gnp.training.objective import Objective
from gnp.training.settings.run import read_settings
from gnp.training.state import create_state
from tests.training.toy import ToyModel, split
from tests.training.toy_steps import ONE_PASS, batch_of, build, penalty

STEPS = 198  # nine epochs of 22
SEEDS = range(5)


def config_of(dtype, seed=0):
    config = digits.get_config()
    config.compute_dtype = dtype
    config.total_epochs = 9
    config.init_seeds = config.seeds = seed
    config.gnp.r = 0.05
    config.gnp.alpha = 0.8
    return config


def losses(folder, dtype, seed):
    """Training loss of each step."""
    config = config_of(dtype, seed)
    folder = folder / f"{dtype}_{seed}"
    folder.mkdir()
    settings = read_settings(config, num_devices=jax.device_count())
    train(settings, model=build_model(config), source=build_source(config), folder=folder)
    metrics = read_metrics(folder / "metrics.jsonl")
    return [line["train/loss"] for line in metrics if "train/loss" in line]


@pytest.mark.slow
def test_loss_curves_lie_within_the_noise_of_float32_over_five_seeds(tmp_path):
    """Windows of 22 steps: the means over seeds differ by less than their spread over seeds."""
    curves = {
        dtype: np.array([losses(tmp_path, dtype, seed) for seed in SEEDS]).reshape(5, 9, 22)
        for dtype in ("float32", "bfloat16")
    }
    windows = {dtype: curve.mean(axis=2) for dtype, curve in curves.items()}
    difference = windows["bfloat16"].mean(axis=0) - windows["float32"].mean(axis=0)
    noise = np.sqrt(sum(window.var(axis=0, ddof=1) for window in windows.values()) / len(SEEDS))
    for epoch in range(9):
        figures = (windows[d][:, epoch] for d in windows)
        means = "  ".join(f"{w.mean():.4f} ± {w.std(ddof=1):.4f}" for w in figures)
        print(f"epoch {epoch + 1}: float32 and bfloat16 loss  {means}")
    assert np.all(np.abs(difference) < 3 * noise)


def types_of_floats(tree):
    return {x.dtype for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)}


def test_what_lasts_is_float32_and_what_passes_is_bfloat16():
    config = config_of("bfloat16")
    model = build_model(config)
    source = build_source(config)
    state = create_state(
        model,
        build_optimizer("Momentum", {}),
        image_shape=source.image_shape,
        init_seed=0,
        seed=0,
        ascent=momentum(),
    )
    assert types_of_floats(state) == {jnp.dtype("float32")}

    seen = []

    def watch(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if isinstance(context.module, (nn.Conv, nn.Dense)):
            seen.append(result.dtype)
        return result

    batch = next(source.train_batches(0))
    with nn.intercept_methods(watch):
        loss, _ = Objective(model)(state.params, state.batch_stats, batch, {})
    assert set(seen) == {jnp.dtype("bfloat16")}
    assert loss.dtype == jnp.float32


@pytest.mark.usefixtures("_compile_fast")
@pytest.mark.parametrize(
    "form",
    [ONE_PASS, ONE_PASS | {"ascent": "stale"}, {"ascent": "friendly"}, {"ascent_share": 0.25}],
    ids=str,
)
def test_each_ascent_learns_in_bfloat16_and_remembers_in_float32(form):
    model = ToyModel(use_batch_norm=False, dtype=jnp.bfloat16)
    state, step = build(model=model, penalty=penalty(r=0.1, **form))
    batch = split(batch_of(0), 1)
    assert "bf16" in step.lower(state, None, batch).as_text()
    losses = []
    for _ in range(20):
        state, metrics = step(state, None, batch)
        losses.append(metrics["perturbed_loss"])
    assert types_of_floats(state) == {jnp.dtype("float32")}
    assert losses[-1] < 0.9 * losses[0]
