"""The command that compares runs."""

import json
import pathlib
import subprocess
import sys

import pytest

from gnp.diagnostics.spectrum_picture import draw_spectrum
from gnp.errors import UserError
from gnp.main.report import report


def make_run(folder, r, seed, error):
    folder.mkdir(parents=True)
    config = {
        "model": {"model_name": "Net"},
        "dataset": {"dataset_name": "digits"},
        "gnp": {"r": r, "alpha": 1.0},
        "seeds": seed,
    }
    line = {"eval/error_rate": error, "eval/loss": 1.0}
    summary = {"final": line, "best": line, "images_per_second": 10.0}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, **line}) + "\n")
    return folder


def test_runs_below_a_folder_are_compared(tmp_path, capsys):
    for r, seed, error in [(0.0, 0, 0.2), (0.0, 1, 0.3), (0.1, 0, 0.1)]:
        make_run(tmp_path / f"runs/r_{r}/seed_{seed}", r, seed, error)
    report([str(tmp_path / "runs")], tmp_path / "out")
    table = (tmp_path / "out/table.md").read_text()
    assert "25.00 ± 7.07" in table
    assert "-15.00" in table
    assert table in capsys.readouterr().out
    assert (tmp_path / "out/curves.png").stat().st_size > 0
    assert "<td>+15.00</td>" in (tmp_path / "out/report.html").read_text()


def test_patterns_choose_runs_and_no_run_counts_twice(tmp_path, capsys):
    for seed in range(3):
        make_run(tmp_path / f"runs/seed_{seed}", 0.0, seed, 0.1)
    report([str(tmp_path / "runs/seed_[01]"), str(tmp_path / "runs/seed_0")], tmp_path)
    assert "| 2 " in capsys.readouterr().out


def test_a_run_that_is_not_finished_is_left_out_and_named(tmp_path, capsys):
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    unfinished = make_run(tmp_path / "runs/b", 0.0, 1, 0.2)
    (unfinished / "summary.json").unlink()
    report([str(tmp_path / "runs/*")], tmp_path)
    printed = capsys.readouterr()
    assert str(unfinished) in printed.err
    assert "| 1 " in printed.out


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="There is no finished run below"):
        report([str(tmp_path)], tmp_path)


def browser_is_missing():
    command = [sys.executable, "-c", "import PyQt6.QtWebEngineWidgets"]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(("scheme", "ground"), [("light", "255, 255, 255"), ("dark", "22, 24, 28")])
def test_a_browser_shows_the_page_and_asks_for_nothing_else(tmp_path, scheme, ground):
    if browser_is_missing():
        pytest.skip("needs a browser: pip install PyQt6-WebEngine")
    for r, error in [(0.0, 0.2), (0.1, 0.1)]:
        folder = make_run(tmp_path / f"runs/r_{r}", r, 0, error)
        (folder / "diagnostics").mkdir()
        figures = {
            "density": {"points": [0.0, 1.0], "density": [1.0, 0.5]},
            "eigenvalues": [1.0],
            "trace": 2.0,
            "trace_error": 0.1,
        }
        draw_spectrum(figures, folder / "diagnostics/spectrum.png")
    report([str(tmp_path / "runs")], tmp_path)
    script = pathlib.Path(__file__).with_name("browser.py")
    picture = tmp_path / "page.png"
    command = [sys.executable, script, tmp_path / "report.html", picture, scheme]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    shown = json.loads(result.stdout.splitlines()[-1])
    assert shown["title"] == "2 runs of Net on digits"
    assert shown["headings"] == ["Errors", "What differs", "Curves", "Pictures"]
    assert shown["ground"] == f"rgb({ground})"
    assert len(shown["charts"]) == 2
    assert min(shown["charts"]) > 300
    assert min(shown["pictures"]) > 100
    assert shown["overflow"] == 0
    assert set(shown["schemes"]) <= {"file", "data"}
    assert shown["messages"] == []
    assert picture.stat().st_size > 10_000
