"""Measures how sharp the minimum is that a run has found.

python -m gnp.main.sharpness --run=RUN_FOLDER [--checkpoint=best|last|STEP] [--data=train|test]
    [--r=0.1] [--m=64] [--eigenvalues=5] … [--config.FIELD=VALUE]

Prints the figures; writes them as sharpness.json beside a picture of the Hessian's spectrum.
"""

import pathlib
from typing import Any

from absl import flags

from gnp.diagnostics.dataset_loss import WholeSet
from gnp.diagnostics.sharpness import SharpnessSettings, measure_sharpness
from gnp.diagnostics.spectrum import draw_spectrum
from gnp.errors import unknown_name
from gnp.files import json_text, write_atomically
from gnp.main import app, saved_run
from gnp.runs.folder import SHARPNESS_FILE, SPECTRUM_PICTURE

DATA = ("train", "test")

# Whatever a run was computed in.
FULL_PRECISION = ("compute_dtype=float32",)


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    saved_run.define_instrument_flags()
    defaults = SharpnessSettings()
    flags.DEFINE_float("r", defaults.r, "Radius of the worst-case rise.")
    flags.DEFINE_integer("m", defaults.m, "Images that share a worst case.")
    flags.DEFINE_integer("ascent_steps", defaults.ascent_steps, "Gradients taken on the way to it.")
    flags.DEFINE_float("sigma", defaults.sigma, "Noise on each parameter in the mean rise.")
    flags.DEFINE_integer("directions", defaults.directions, "Pairs of draws of that noise.")
    flags.DEFINE_integer("eigenvalues", defaults.eigenvalues, "The largest so many are given.")
    flags.DEFINE_integer("lanczos_steps", defaults.lanczos_steps, "Products in a run of Lanczos.")
    flags.DEFINE_integer("lanczos_runs", defaults.lanczos_runs, "Runs for the spectral density.")
    flags.DEFINE_integer("trace_samples", defaults.trace_samples, "Products for the trace.")
    flags.DEFINE_integer("seed", defaults.seed, "Seed of every draw.")


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
    write_atomically(out / SHARPNESS_FILE, json_text(figures))
    draw_spectrum(figures, out / SPECTRUM_PICTURE)
    print(format_figures(figures))
    print(f"Figures: {out / SHARPNESS_FILE}\nPicture: {out / SPECTRUM_PICTURE}")


def measure_run(
    folder: pathlib.Path, settings: Any, checkpoint: str, data: str, measured: SharpnessSettings
) -> dict[str, Any]:
    """Figures of a checkpoint, from `measure_sharpness`, and what they were taken of.

    Args:
      folder: the run's folder.
      settings: its config.
      checkpoint: `best`, `last` or a step.
      data: `train` (its images not augmented) or `test`.
      measured: what is measured.

    Raises:
      UserError: there is no such checkpoint or data.
    """
    run, whole_set = open_whole_set(folder, settings, checkpoint, data)
    figures = measure_sharpness(whole_set, run.state.params, run.state.batch_stats, measured)
    return {"run": str(folder), "step": run.step, "data": data} | figures


def check_data(data: str) -> None:
    """Raises a UserError for data that are unknown."""
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
    return run, WholeSet(run.model, run.source, label_smoothing=settings.label_smoothing)


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
        f"worst-case rise, r = {measured['r']}, m = {measured['m']}": (
            f"{figures['worst_case_rise']:.4g}"
        ),
        f"mean rise, sigma = {measured['sigma']}": (
            f"{figures['mean_rise']:.4g} ± {figures['mean_rise_error']:.2g}"
        ),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


if __name__ == "__main__":
    app.run(main, define_flags)
