"""Evaluates a run's checkpoint, on its own data or on others with the same classes.

python -m gnp.main.evaluate --run=RUN_FOLDER [--checkpoint=best|last|STEP|average:N] [--ema]
    [--attack_radius=RADIUS] [--config.FIELD=VALUE]

Prints the figures as JSON.
"""

import functools
import pathlib
import sys
from typing import Any

from absl import flags

from gnp.diagnostics.attack import fast_gradient
from gnp.diagnostics.classification import classification_figures, draw_confusion
from gnp.files import json_text, make_folder, write_atomically
from gnp.main import app, saved_run
from gnp.training import parallel
from gnp.training.evaluate import make_predict_step, predict

_SCALARS = ("error_rate", "top_5_error_rate", "loss", "calibration_error")


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    flags.DEFINE_bool("ema", False, "Take the moving average of the parameters over the steps.")
    flags.DEFINE_float(
        "attack_radius",
        0.0,
        "Move each image so far along the gradient of its loss first, in the units of the model's "
        "input (fast gradient attack).",
        lower_bound=0.0,
    )
    flags.DEFINE_string("out", None, "A folder for evaluation.json and confusion.png, if wanted.")


def main() -> None:
    """Evaluates what the flags name."""
    folder = saved_run.folder_from_flags()
    out = make_folder(flags.FLAGS.out, "--out") if flags.FLAGS.out else None
    figures = evaluate_run(
        folder,
        saved_run.config_of(folder),
        flags.FLAGS.checkpoint,
        ema=flags.FLAGS.ema,
        attack_radius=flags.FLAGS.attack_radius,
    )
    print(json_text(figures, indent=None), end="")
    if unpredicted := figures["num_unpredicted"]:
        print(
            f"The model computes no finite numbers for {unpredicted} of {figures['num_images']} "
            "images, so errors, loss and calibration are null.",
            file=sys.stderr,
        )
    if out:
        write_atomically(out / "evaluation.json", json_text(figures))
        draw_confusion(figures, out / "confusion.png")


def evaluate_run(
    folder: pathlib.Path,
    config: Any,
    checkpoint: str,
    *,
    ema: bool = False,
    attack_radius: float = 0.0,
) -> dict[str, Any]:
    """Figures of a checkpoint on the evaluation set that a config names.

    Args:
      folder: the run's folder.
      config: its config, the data set perhaps another.
      checkpoint: `best`, `last`, a step, or `average:N`, the mean of the last N.
      ema: take the moving averages of parameters and batch statistics.
      attack_radius: of a fast gradient attack on each image, in the units of the model's input.

    Returns:
      `run`, `step`, `attack_radius` and what `classification_figures` tells. Where something is
      averaged, also `averaged`, the steps of the checkpoints, and `raw`, the figures of the last
      one's parameters.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    run = saved_run.load_run(folder, config, checkpoint, ema=ema)
    attack = functools.partial(fast_gradient, radius=attack_radius) if attack_radius else None
    predict_step = parallel.map_eval_step(
        make_predict_step(run.model, attack), run.source.prepare_eval, per_image=True
    )
    device_data = parallel.replicate(run.source.device_data)

    def figures_of(state):
        logits, labels = predict(predict_step, state, run.source.eval_batches(), device_data)
        return classification_figures(logits, labels, run.source.class_names)

    figures = {"run": str(folder), "step": run.step, "attack_radius": attack_radius}
    figures |= figures_of(run.state)
    if run.raw is not None:
        raw = figures_of(run.raw)
        figures |= {"averaged": run.averaged, "raw": {name: raw[name] for name in _SCALARS}}
    return figures


if __name__ == "__main__":
    app.run(main, define_flags)
