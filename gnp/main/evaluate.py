"""Evaluates a run's checkpoint, on its own data or on others with the same classes.

python -m gnp.main.evaluate --run=RUN_FOLDER [--checkpoint=best|last|STEP] [--config.FIELD=VALUE]

Prints the figures as JSON.
"""

import json
import pathlib

import jax
import numpy as np
from absl import flags

from gnp.diagnostics.classification import classification_figures, draw_confusion
from gnp.errors import UserError, unknown_name
from gnp.main import app, config
from gnp.main.build import build_model, build_source
from gnp.optimizer.build import build_optimizer
from gnp.training import parallel
from gnp.training.evaluate import make_predict_step, predict
from gnp.training.loop import CHECKPOINTS_FOLDER, open_checkpoints
from gnp.training.run_folder import CONFIG_FILE
from gnp.training.state import create_state


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("run", None, "The folder of the run.")
    flags.DEFINE_string(
        "checkpoint", "best", "Which checkpoint: best by its evaluation, last, or a step."
    )
    flags.DEFINE_string("out", None, "A folder for evaluation.json and confusion.png, if wanted.")


def main() -> None:
    """Evaluates what the flags name."""
    run, out = flags.FLAGS.run, flags.FLAGS.out
    if not run:
        raise UserError("--run is missing; name the folder of a run.")
    folder = pathlib.Path(run).absolute()
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder} holds no {CONFIG_FILE}; name the folder of a run.")
    settings = config.load_config(str(folder / CONFIG_FILE), config.overrides())
    figures = evaluate_run(folder, settings, flags.FLAGS.checkpoint)
    if out:
        out = pathlib.Path(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n")
        draw_confusion(figures, out / "confusion.png")
    print(json.dumps(figures))


def evaluate_run(folder: pathlib.Path, settings, checkpoint: str) -> dict:
    """Figures of a checkpoint on the evaluation set that `settings` name.

    Args:
      folder: the run's folder.
      settings: its config, the data set perhaps another.
      checkpoint: `best`, `last` or a step.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    model, source = build_model(settings), build_source(settings)
    like = create_state(
        model,
        build_optimizer(settings.opt.opt_type, settings.opt.opt_params),
        image_shape=source.image_shape,
        init_seed=settings.init_seeds,
        seed=settings.seeds,
        with_reuse=settings.gnp.reuse > 0,
    )
    with open_checkpoints(settings, folder, read_only=True) as checkpoints:
        step = _step(checkpoints, checkpoint, folder)
        state, _ = checkpoints.restore(step, parallel.replicate(like))
    predict_step = parallel.map_predict_step(make_predict_step(model), source.prepare_eval)
    logits, labels = predict(
        predict_step, state, source.eval_batches(), parallel.replicate(source.device_data)
    )
    probabilities = np.asarray(jax.nn.softmax(logits))
    return {"run": str(folder), "step": step} | classification_figures(
        probabilities, labels, source.class_names
    )


def _step(checkpoints, which, folder):
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"There is no checkpoint in {folder / CHECKPOINTS_FOLDER} yet.")
    if which == "last":
        return steps[-1]
    if which == "best":
        return checkpoints.best_step() or steps[-1]
    if not which.isdigit() or int(which) not in steps:
        raise unknown_name("checkpoint", which, ["best", "last", *map(str, steps)])
    return int(which)


if __name__ == "__main__":
    app.run(main, define_flags)
