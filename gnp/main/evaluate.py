"""Evaluates a run's checkpoint, on its own data or on others with the same classes.

python -m gnp.main.evaluate --run=RUN_FOLDER [--checkpoint=best|last|STEP] [--config.FIELD=VALUE]

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


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    flags.DEFINE_string("out", None, "A folder for evaluation.json and confusion.png, if wanted.")


def main() -> None:
    """Evaluates what the flags name."""
    folder = saved_run.folder_from_flags()
    figures = evaluate_run(folder, saved_run.settings_of(folder), flags.FLAGS.checkpoint)
    if flags.FLAGS.out:
        out = pathlib.Path(flags.FLAGS.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n")
        draw_confusion(figures, out / "confusion.png")
    print(json.dumps(figures))


def evaluate_run(folder: pathlib.Path, settings: Any, checkpoint: str) -> dict[str, Any]:
    """Figures of a checkpoint on the evaluation set that `settings` name.

    Args:
      folder: the run's folder.
      settings: its config, the data set perhaps another.
      checkpoint: `best`, `last` or a step.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    run = saved_run.open_run(folder, settings, checkpoint)
    predict_step = parallel.map_predict_step(make_predict_step(run.model), run.source.prepare_eval)
    device_data = parallel.replicate(run.source.device_data)
    logits, labels = predict(predict_step, run.state, run.source.eval_batches(), device_data)
    probabilities = np.asarray(jax.nn.softmax(logits))
    return {"run": str(folder), "step": run.step} | classification_figures(
        probabilities, labels, run.source.class_names
    )


if __name__ == "__main__":
    app.run(main, define_flags)
