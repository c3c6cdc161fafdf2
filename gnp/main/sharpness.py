"""Measures the sharpness of the minimum at a checkpoint of a run.

python -m gnp.main.sharpness --run=RUN_FOLDER [--checkpoint=best|last|STEP] [--data=train|test]
    [--r=0.1] [--m=64] [--eigenvalues=5] … [--config.FIELD=VALUE]

Prints the figures, and writes sharpness.json and a picture of the Hessian's spectrum.
"""

import pathlib
from typing import Any

from absl import flags

from gnp.diagnostics.dataset_loss import WholeSet
from gnp.diagnostics.sharpness import SharpnessSettings, measure_sharpness
from gnp.diagnostics.spectrum import draw_spectrum
from gnp.errors import unknown_name
from gnp.files import json_text, write_atomically
from gnp.main import app
from gnp.main.saved import saved_run
from gnp.runs.folder import SHARPNESS_FILE, SPECTRUM_PICTURE

DATA = ("train", "test")

# For measurements, whatever the precision of training.
FULL_PRECISION = ("compute_dtype=float32",)


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    saved_run.define_instrument_flags()
    defaults = SharpnessSettings()
    flags.DEFINE_float("r", defaults.r, "Radius of the worst-case sharpness.")
    flags.DEFINE_integer(
        "m", defaults.m, "Images in a group that shares a perturbation; unset: 64, or what fits."
    )
    flags.DEFINE_integer(
        "ascent_steps", defaults.ascent_steps, "Gradients taken to the worst case."
    )
    flags.DEFINE_float("sigma", defaults.sigma, "Noise on each parameter in the mean sharpness.")
    flags.DEFINE_integer("directions", defaults.directions, "Pairs of samples of that noise.")
    flags.DEFINE_integer("eigenvalues", defaults.eigenvalues, "Number of the largest eigenvalues.")
    flags.DEFINE_integer("lanczos_steps", defaults.lanczos_steps, "Products in a run of Lanczos.")
    flags.DEFINE_integer("lanczos_runs", defaults.lanczos_runs, "Runs for the spectral density.")
    flags.DEFINE_integer("trace_samples", defaults.trace_samples, "Products for the trace.")
    flags.DEFINE_integer("seed", defaults.seed, "Seed of all samples.")


def main() -> None:
    """Measures what the flags name."""
    folder = saved_run.folder_from_flags()
    values = flags.FLAGS
    names = SharpnessSettings.__dataclass_fields__
    out = saved_run.out_folder(folder)
    figures = measure_run(
        folder,
        saved_run.config_of(folder, *FULL_PRECISION),
        values.checkpoint,
        values.data,
        SharpnessSettings(**{name: values[name].value for name in names}),
    )
    print(format_figures(figures), flush=True)
    write_atomically(out / SHARPNESS_FILE, json_text(figures))
    draw_spectrum(figures, out / SPECTRUM_PICTURE)
    print(f"Figures: {out / SHARPNESS_FILE}\nPicture: {out / SPECTRUM_PICTURE}")


def measure_run(
    folder: pathlib.Path, settings: Any, checkpoint: str, data: str, measured: SharpnessSettings
) -> dict[str, Any]:
    """The figures of `measure_sharpness` for a checkpoint, with the run, the step and the data.

    Args:
      folder: the run's folder.
      settings: its config.
      checkpoint: `best`, `last` or a step.
      data: `train` (without augmentation) or `test`.
      measured: what is measured.

    Raises:
      UserError: there is no such checkpoint or data.
    """
    run, whole_set = open_whole_set(folder, settings, checkpoint, data)
    figures = measure_sharpness(whole_set, run.state.all_params, run.state.batch_stats, measured)
    return {"run": str(folder), "step": run.step, "data": data} | figures


def check_data(data: str) -> None:
    """Raises a UserError for unknown data."""
    if data not in DATA:
        raise unknown_name("--data", data, DATA)


def open_whole_set(
    folder: pathlib.Path, settings: Any, checkpoint: str, data: str
) -> tuple[saved_run.SavedRun, WholeSet]:
    """A run, and its loss over one of its sets.

    Raises:
      UserError: there is no such checkpoint or data.
    """
    check_data(data)
    run = saved_run.load_run(folder, settings, checkpoint, evaluate_on_train=data == "train")
    loss = run.settings.loss
    return run, WholeSet(
        run.model,
        run.source,
        label_smoothing=loss.label_smoothing,
        image_loss=loss.image_loss,
        multi_label=loss.multi_label,
    )


def format_figures(figures: dict[str, Any]) -> str:
    """The figures as lines of text."""
    measured = figures["settings"]
    pairs = zip(figures["eigenvalues"], figures["eigenvalue_errors"], strict=True)
    eigenvalues = ", ".join(f"{value:.4g} ± {error:.1g}" for value, error in pairs)
    lines = {
        "data": f"{figures['num_images']} {figures['data']} images, step {figures['step']}",
        "loss, error": f"{figures['loss']:.5f}, {100 * figures['error_rate']:.2f} %",
        "gradient norm": f"{figures['gradient_norm']:.4g}",
        "largest eigenvalues": eigenvalues,
        "trace": f"{figures['trace']:.4g} ± {figures['trace_error']:.2g}",
        f"worst-case sharpness, r = {measured['r']}, m = {measured['m']}": (
            f"{figures['worst_case_rise']:.4g}"
        ),
        f"mean sharpness, sigma = {measured['sigma']}": (
            f"{figures['mean_rise']:.4g} ± {figures['mean_rise_error']:.2g}"
        ),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


if __name__ == "__main__":
    app.run(main, define_flags)
