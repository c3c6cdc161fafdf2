"""The command that measures sharpness."""

import pytest

from gnp.diagnostics.sharpness import SharpnessSettings
from gnp.diagnostics.spectrum import draw_spectrum
from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.sharpness import FULL_PRECISION, format_figures, measure_run
from gnp.runs.metrics import read_metrics
from gnp.training.monitoring import progress

pytestmark = pytest.mark.usefixtures("_compile_fast")

SETTINGS = SharpnessSettings(
    m=8, ascent_steps=1, directions=1, lanczos_steps=3, lanczos_runs=1, trace_samples=1
)


def measure(folder, data, *fields):
    settings = load_config(str(folder / "config.json"), [*fields, *FULL_PRECISION])
    return measure_run(folder, settings, "last", data, SETTINGS)


def test_a_run_is_measured_on_its_training_images_or_the_others(tiny_run, tmp_path):
    figures = measure(tiny_run, "train", "compute_dtype=bfloat16")
    assert figures["num_images"] == 128
    assert figures["step"] == 4
    assert figures["worst_case_rise"] > 0
    assert len(figures["eigenvalues"]) == 3
    assert "worst-case sharpness, r = 0.1, m = 8" in format_figures(figures)
    draw_spectrum(figures, tmp_path / "spectrum.png")
    assert (tmp_path / "spectrum.png").stat().st_size > 0
    last = [line for line in read_metrics(tiny_run / "metrics.jsonl") if "eval/loss" in line][-1]
    assert measure(tiny_run, "test")["loss"] == pytest.approx(last["eval/loss"], rel=1e-4)


def test_unknown_data_are_refused(tiny_run):
    with pytest.raises(UserError, match="Unknown --data 'validation'; known: "):
        measure(tiny_run, "validation")


def test_a_batch_that_does_not_divide_over_the_devices_is_refused(tiny_run):
    with pytest.raises(UserError, match=r"batch_size is 6, .* over 4 devices; .*: 4 or 8"):
        measure(tiny_run, "train", "batch_size=6")


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="--m is 0; it must be at least 1"):
        SharpnessSettings(m=0)


def test_a_log_says_how_much_is_done(tiny_run, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LONG_INTERVAL", 0)
    measure(tiny_run, "test")
    assert f"{SETTINGS.num_passes} of {SETTINGS.num_passes} passes over" in capsys.readouterr().err
