"""Evaluates a run's checkpoint, on its own data or on others with the same classes.

python -m gnp.main.evaluate --run=RUN_FOLDER [--checkpoint=best|last|STEP|average:N] [--ema]
    [--config.FIELD=VALUE]

Prints the figures as JSON.
"""

import json
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags

from gnp.diagnostics.classification import classification_figures, draw_confusion
from gnp.main import app, saved_run
from gnp.training import parallel
from gnp.training.evaluate import make_predict_step, predict

_SCALARS = ("error_rate", "top_5_error_rate", "loss", "calibration_error")


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    flags.DEFINE_bool("ema", False, "Take the moving average of the parameters over the steps.")
    flags.DEFINE_string("out", None, "A folder for evaluation.json and confusion.png, if wanted.")


def main() -> None:
    """Evaluates what the flags name."""
    folder = saved_run.folder_from_flags()
    figures = evaluate_run(
        folder, saved_run.settings_of(folder), flags.FLAGS.checkpoint, ema=flags.FLAGS.ema
    )
    if flags.FLAGS.out:
        out = pathlib.Path(flags.FLAGS.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n")
        draw_confusion(figures, out / "confusion.png")
    print(json.dumps(figures))


def evaluate_run(
    folder: pathlib.Path, settings: Any, checkpoint: str, *, ema: bool = False
) -> dict[str, Any]:
    """Figures of a checkpoint on the evaluation set that `settings` name.

    Args:
      folder: the run's folder.
      settings: its config, the data set perhaps another.
      checkpoint: `best`, `last`, a step, or `average:N`, the mean of the last N.
      ema: take the moving averages of parameters and batch statistics.

    Returns:
      `run`, `step` and what `classification_figures` tells. Where something is averaged, also
      `averaged`, the steps of the checkpoints, and `raw`, the figures of the last one's parameters.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    run = saved_run.open_run(folder, settings, checkpoint, ema=ema)
    predict_step = parallel.map_predict_step(make_predict_step(run.model), run.source.prepare_eval)
    device_data = parallel.replicate(run.source.device_data)

    def figures_of(state):
        logits, labels = predict(predict_step, state, run.source.eval_batches(), device_data)
        probabilities = np.asarray(jax.nn.softmax(logits))
        return classification_figures(probabilities, labels, run.source.class_names)

    figures = {"run": str(folder), "step": run.step} | figures_of(run.state)
    if run.raw is not None:
        raw = figures_of(run.raw)
        figures |= {"averaged": run.averaged, "raw": {name: raw[name] for name in _SCALARS}}
    return figures


if __name__ == "__main__":
    app.run(main, define_flags)
