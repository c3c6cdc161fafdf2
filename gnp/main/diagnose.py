"""Looks into a network: whether gradients explode or vanish, norms and activations by layer.

python -m gnp.main.diagnose --run=RUN_FOLDER [--checkpoint=best|last|STEP] [--data=train|test]
python -m gnp.main.diagnose --config=config/digits.py      # the model before training

Prints tables and a verdict; writes diagnose.json and diagnose.png.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from gnp.diagnostics.activations import activation_statistics, batch_statistics
from gnp.diagnostics.gradient_flow import chain_health, draw_diagnosis
from gnp.diagnostics.layer_chain import LayerChain
from gnp.diagnostics.layer_updates import next_step_norms
from gnp.errors import UserError
from gnp.files import json_text, write_atomically
from gnp.main import app, config
from gnp.main.saved import saved_run
from gnp.main.sharpness import FULL_PRECISION, check_data
from gnp.main.start.build import build_model, check_names
from gnp.main.start.device_memory import check_fits
from gnp.model.scanned_blocks import in_plain_layers
from gnp.model.size import measure
from gnp.report.table import aligned
from gnp.runs.folder import DIAGNOSE_FILE, DIAGNOSE_PICTURE
from gnp.training.monitoring.progress import Counter

_FIELDS = (*FULL_PRECISION, "logging.layer_norms_every=1")


def define_flags() -> None:
    """The flags of this command."""
    flags.adopt_module_key_flags(config)
    saved_run.define_flags()
    saved_run.define_instrument_flags()
    flags.DEFINE_integer("seed", 0, "Seed of the starting vectors.")


def main() -> None:
    """Looks into what the flags name."""
    values = flags.FLAGS
    check_data(values.data)
    on_train = values.data == "train"
    if values.run:
        folder = saved_run.folder_from_flags()
        fields = saved_run.config_of(folder, *_FIELDS)
        run = saved_run.load_run(folder, fields, values.checkpoint, evaluate_on_train=on_train)
        out = saved_run.out_folder(folder)
    elif values.config:
        fields = config.read_config(*_FIELDS)
        run = untrained(fields, on_train=on_train)
        out = saved_run.out_folder(pathlib.Path())
    else:
        raise UserError("--run=RUN_FOLDER or --config=FILE is needed; name what to look into.")
    figures = {"run": values.run, "data": values.data} | diagnose(run, values.seed)
    print(format_figures(figures), flush=True)
    write_atomically(out / DIAGNOSE_FILE, json_text(figures))
    draw_diagnosis(figures, out / DIAGNOSE_PICTURE)
    print(f"Figures: {out / DIAGNOSE_FILE}\nPicture: {out / DIAGNOSE_PICTURE}")


def untrained(fields: Any, *, on_train: bool) -> saved_run.SavedRun:
    """What a config names before its first step.

    Args:
      fields: the resolved config.
      on_train: make the training images the evaluation set.

    Raises:
      UserError: a name is unknown, or no device holds the model.
    """
    check_names(fields)
    dataset = fields.dataset
    image_shape = (dataset.image_size, dataset.image_size, dataset.num_channels)
    check_fits(fields.model.model_name, measure(build_model(fields), image_shape))
    return saved_run.untrained(fields, evaluate_on_train=on_train)


def diagnose(run: saved_run.SavedRun, seed: int = 0) -> dict[str, Any]:
    """What there is to know about a network at one batch of its evaluation set.

    Batch norms use the statistics of that batch, as in training, but held fixed.

    Args:
      run: with `logging.layer_norms_every` above 0.
      seed: of the starting vectors.

    Returns:
      `chain` (see `ChainHealth`) with its `verdict` and `advice`; `layers`, by path: norms of
      parameters, gradient and update; `activations`, by path.
    """
    images = _images(run)
    model, params = in_plain_layers(run.model, jax.device_get(run.state.all_params))
    variables = {"params": params, "batch_stats": jax.device_get(run.state.batch_stats)}
    with jax.default_matmul_precision("highest"):
        variables["batch_stats"] = batch_statistics(model, variables, images)
        chain = LayerChain.create(model, variables, images)
        with Counter(len(chain.layers), "layers") as counter:
            health = chain_health(chain, seed, counter.update)
        activations = activation_statistics(model, variables, images)
    return {
        "step": run.step,
        "num_images": len(images),
        "chain": health._asdict() | {"verdict": health.verdict, "advice": health.advice()},
        "layers": next_step_norms(run.settings, run.model, run.source, run.state),
        "activations": activations,
    }


def format_figures(figures: dict[str, Any]) -> str:
    """The figures as tables and a verdict."""
    chain = figures["chain"]
    columns = zip(chain["names"], chain["spectral_norms"], chain["gradient_norms"], strict=True)
    layers = [
        (name, *(f"{norms[key]:.3g}" for key in ("parameter_norm", "gradient_norm", "update_norm")))
        for name, norms in figures["layers"].items()
    ]
    activations = [
        (name, f"{a['mean']:.3g}", f"{a['std']:.3g}", f"{100 * a['zeros']:.1f}", _dead(a))
        for name, a in figures["activations"].items()
    ]
    return "\n\n".join(
        [
            aligned(
                ("layer", "spectral norm", "gradient norm at its input"),
                [(name, f"{norm:.3g}", f"{gradient:.3g}") for name, norm, gradient in columns],
            ),
            aligned(("parameters", "norm", "gradient norm", "norm of the next update"), layers),
            aligned(("input of", "mean", "std", "zeros (%)", "dead units"), activations),
            f"The spectral norms of all layers but the last multiply to {chain['product']:.3g}. "
            f"{chain['advice']}",
        ]
    )


def _dead(statistics):
    return f"{statistics['dead']} of {statistics['units']}"


def _images(run):
    """The first batch, without padding."""
    batch = next(iter(run.source.eval_batches()))
    if run.source.device_data is not None:
        batch = jax.jit(run.source.prepare_eval)(jax.device_put(run.source.device_data), batch)
    batch = jax.device_get(batch)
    return jnp.asarray(batch["image"][batch["mask"] > 0])


if __name__ == "__main__":
    app.run(main, define_flags)
