"""Evaluates a run's checkpoint, on its own data or on others with the same classes.

python -m gnp.main.evaluate --run=RUN_FOLDER [--checkpoint=best|last|STEP|average:N]
    [--weights=raw|ema] [--attack_radius=RADIUS] [--out=FOLDER] [--config.FIELD=VALUE]

Prints tables. With --out it writes the figures (evaluation.json), the confusions as a picture
(confusion.png), a list of the misclassified images (misclassified.csv) and a picture of the worst
of them (misclassified.png). Where images have any number of the classes, there are the average
precisions of the classes in the place of confusions and misclassified images. To evaluate on images
of your own, in FOLDER/test/<class>/*, give --config.dataset.dataset_name=image_folder
--config.dataset.data_dir=FOLDER.
"""

import functools
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from gnp.diagnostics import mistakes
from gnp.diagnostics.attack import fast_gradient
from gnp.diagnostics.classification import classification_figures, draw_confusion
from gnp.diagnostics.multi_label import decision_figures
from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError
from gnp.files import json_text, make_folder, write_atomically
from gnp.main import app
from gnp.main.saved import saved_run
from gnp.main.saved.chosen_checkpoint import is_average
from gnp.main.shown_images import evaluation_images
from gnp.report.image_grid import save_image_grid
from gnp.report.loss_names import loss_name
from gnp.report.table import aligned
from gnp.runs.config_file import plain
from gnp.training import parallel
from gnp.training.evaluate import make_predict_step, predict
from gnp.training.loss import smooth_labels
from gnp.training.settings.loss import image_loss_of

FIGURES_FILE = "evaluation.json"
CONFUSION_PICTURE = "confusion.png"
MISTAKES_FILE = "misclassified.csv"
MISTAKES_PICTURE = "misclassified.png"

_SCALARS = {
    "mean_average_precision": "mean average precision (%)",
    "error_rate": "error (%)",
    "top_5_error_rate": "top-5 error (%)",
    "loss": "cross entropy",
    "trained_loss": "loss of the run",
    "calibration_error": "calibration error",
}

# In the tables on the terminal: all classes up to this number, of more the worst; and confusions.
_MOST_CLASSES = 20
_WORST_CLASSES = 10

_IMAGES_SHOWN = 64


class Evaluation(NamedTuple):
    """What an evaluation finds.

    Attributes:
      figures: see `evaluate_run`.
      mistakes: the misclassified images, the worst first; None where images have any number of
        the classes.
      source: whose evaluation set they are of.
    """

    figures: dict[str, Any]
    mistakes: list[mistakes.Mistake] | None
    source: DataSource


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    saved_run.define_weights_flag()
    flags.DEFINE_bool("ema", False, "Another way to write --weights=ema.")
    flags.DEFINE_float(
        "attack_radius",
        0.0,
        "Move each image so far along the gradient of its loss first, in the units of the model's "
        "input (fast gradient attack).",
        lower_bound=0.0,
    )
    flags.DEFINE_string("out", None, "A folder for figures, pictures and misclassified images.")


def main() -> None:
    """Evaluates what the flags name."""
    values = flags.FLAGS
    folder = saved_run.folder_from_flags()
    if values.ema and values.weights == "raw":
        raise UserError("--ema and --weights=raw contradict each other; give one of them.")
    out = make_folder(values.out, "--out") if values.out else None
    config = saved_run.config_of(folder)
    found = evaluate(
        folder,
        config,
        values.checkpoint,
        ema=values.ema or is_average(config, values.weights),
        attack_radius=values.attack_radius,
    )
    print(format_figures(found.figures), flush=True)
    if unpredicted := found.figures["num_unpredicted"]:
        print(
            f"The model computes no finite numbers for {unpredicted} of "
            f"{found.figures['num_images']} images, so errors, loss and calibration are nan.",
            file=sys.stderr,
        )
    if out:
        write_evaluation(found, out)


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
      `run`, `step`, `attack_radius` and what `classification_figures` tells, or `decision_figures`
      where images have any number of the classes. If the run was trained with another loss than
      theirs, also `trained_loss` and `trained_loss_name`. Where something is averaged, also
      `averaged`, the steps of the checkpoints, and `raw`, the figures of the last one's parameters.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    return evaluate(folder, config, checkpoint, ema=ema, attack_radius=attack_radius).figures


def evaluate(
    folder: pathlib.Path,
    config: Any,
    checkpoint: str,
    *,
    ema: bool = False,
    attack_radius: float = 0.0,
) -> Evaluation:
    """The same with the misclassified images."""
    run = saved_run.load_run(folder, config, checkpoint, ema=ema)
    multi_label = config.dataset.multi_label
    attack = functools.partial(fast_gradient, radius=attack_radius) if attack_radius else None
    predict_step = parallel.map_eval_step(
        make_predict_step(run.model, attack, multi_label),
        run.source.prepare_eval,
        per_image=True,
    )
    device_data = parallel.replicate(run.source.device_data)

    def logits_of(state):
        return predict(predict_step, state, run.source.eval_batches(), device_data)

    logits, labels = logits_of(run.state)
    figures = {"run": str(folder), "step": run.step, "attack_radius": attack_radius}
    figures |= _figures(logits, labels, run.source.class_names, config)
    if run.raw is not None:
        raw = _figures(*logits_of(run.raw), run.source.class_names, config)
        figures["averaged"] = run.averaged
        figures["raw"] = {name: raw[name] for name in _SCALARS if name in raw}
    wrong = None if multi_label else mistakes.find_mistakes(logits, labels)
    return Evaluation(figures, wrong, run.source)


def _figures(logits, labels, class_names, config):
    figures_of = decision_figures if config.dataset.multi_label else classification_figures
    return figures_of(logits, labels, class_names) | _trained_loss(logits, labels, config)


def _trained_loss(logits, labels, config):
    """The mean that the run calls `eval/loss`, with its name; none where `loss` is the same."""
    multi_label = config.dataset.multi_label
    usual = "binary_cross_entropy" if multi_label else "cross_entropy"
    if config.loss == usual and not config.label_smoothing:
        return {}
    targets = jnp.asarray(labels) if multi_label else jax.nn.one_hot(labels, logits.shape[1])
    losses = image_loss_of(config)(
        jnp.asarray(logits), smooth_labels(targets, config.label_smoothing)
    )
    smoothed = ", labels smoothed" if config.label_smoothing else ""
    return {
        "trained_loss": float(np.asarray(losses).mean(dtype=np.float64)),
        "trained_loss_name": f"{loss_name(plain(config))}{smoothed}",
    }


def format_figures(figures: dict[str, Any]) -> str:
    """The figures as tables; of many classes only the worst ones."""
    parts = [_format_scalars(figures), _format_classes(figures["classes"])]
    if figures.get("confusions"):
        rows = [tuple(map(str, c.values())) for c in figures["confusions"][:_WORST_CLASSES]]
        parts.append(aligned(("true class", "predicted as", "images"), rows))
    return "\n\n".join(parts)


def _format_scalars(figures):
    columns = {"averaged": figures, "not averaged": figures["raw"]} if "raw" in figures else {}
    columns = columns or {"": figures}
    titles = _SCALARS | {"trained_loss": figures.get("trained_loss_name")}
    if "mean_average_precision" in figures:
        titles["loss"] = "binary cross entropy"
    rows = [
        (title, *(_number(name, column[name]) for column in columns.values()))
        for name, title in titles.items()
        if name in figures
    ]
    head = f"{figures['num_images']:,} images, step {figures['step']}"
    return aligned((head, *columns), rows)


def _number(name, value):
    return f"{100 * value:.2f}" if name.endswith(("rate", "precision")) else f"{value:.4f}"


def _format_classes(classes):
    with_precision = "average_precision" in classes[0]

    def order(entry):
        precision, error = entry.get("average_precision"), entry["error_rate"]
        if with_precision:
            return precision is None, precision or 0, -entry["images"]
        return error is None, -(error or 0), -entry["images"]

    def percent(value):
        return "" if value is None else f"{100 * value:.1f}"

    head = "class"
    if len(classes) > _MOST_CLASSES:
        head = f"worst of {len(classes):,} classes"
        classes = sorted(classes, key=order)[:_WORST_CLASSES]
    rows = [
        (
            entry["name"],
            str(entry["images"]),
            *([percent(entry["average_precision"])] if with_precision else []),
            percent(entry["error_rate"]),
            str(entry["predicted"]),
        )
        for entry in classes
    ]
    more = ["average precision (%)"] if with_precision else []
    return aligned((head, "images", *more, "error (%)", "predicted"), rows)


def write_evaluation(found: Evaluation, out: pathlib.Path) -> None:
    """Writes figures, pictures and the list of misclassified images into a folder.

    Raises:
      CannotWriteError: a file cannot be written.
    """
    write_atomically(out / FIGURES_FILE, json_text(found.figures))
    if found.mistakes is None:
        print(f"\nFile in {out}: {FIGURES_FILE}")
        return
    names, worst = found.source.class_names, found.mistakes[:_IMAGES_SHOWN]
    draw_confusion(found.figures, out / CONFUSION_PICTURE)
    write_atomically(
        out / MISTAKES_FILE, mistakes.as_csv(found.mistakes, names, found.source.eval_files)
    )
    files = [FIGURES_FILE, CONFUSION_PICTURE, MISTAKES_FILE]
    (out / MISTAKES_PICTURE).unlink(missing_ok=True)  # that of another evaluation
    if worst:
        images = evaluation_images(found.source, [mistake.image for mistake in worst])
        captions = [mistakes.caption(mistake, names) for mistake in worst]
        title = f"The worst of {len(found.mistakes):,} misclassified images"
        save_image_grid(out / MISTAKES_PICTURE, {title: (images, captions)})
        files.append(MISTAKES_PICTURE)
    print(f"\nFiles in {out}: {', '.join(files)}")


if __name__ == "__main__":
    app.run(main, define_flags)
