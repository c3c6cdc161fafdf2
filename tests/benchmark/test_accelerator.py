"""The list of measurements for an accelerator: what it would run, and what it keeps."""

import importlib
import json

import jax
import pytest

from benchmark import accelerator, attention
from benchmark.accelerator import ROWS_FILE, Row


@pytest.mark.parametrize("more", [[], ["--small"]])
def test_every_command_is_one_that_its_benchmark_takes(tmp_path, more):
    arguments = accelerator.parse_arguments([f"--out={tmp_path}", "--data_dir=photos", *more])
    rows = accelerator.rows(arguments, tmp_path)
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        module, *options = row.command
        if module.startswith("benchmark."):
            importlib.import_module(module).parse_arguments(options)
    assert sum(row.command[0] == "gnp.main.compare" for row in rows) == 8


def test_a_stopped_row_keeps_what_it_printed_and_runs_again(tmp_path, monkeypatch):
    program = tmp_path / "row.py"
    program.write_text("import time; print('{\"a\": 1}', flush=True); time.sleep(30)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    slow, quick = Row("slow", 0.05, ("row",)), Row("quick", 1, ("platform",))
    monkeypatch.setattr(accelerator, "rows", lambda arguments, out: [slow, quick])
    monkeypatch.setattr(accelerator, "describe_machine", lambda: {"backend": "cpu"})

    def results():
        accelerator.main([f"--out={tmp_path / 'out'}"])
        lines = (tmp_path / "out" / ROWS_FILE).read_text().splitlines()
        return [(line["row"], line["exit"] == 0) for line in map(json.loads, lines)]

    assert results() == [("slow", False), ("quick", True)]
    first = json.loads((tmp_path / "out" / ROWS_FILE).read_text().splitlines()[0])
    assert (first["printed"], first["command"]) == ([{"a": 1}], "python -m row")
    program.write_text("print('done')")
    assert results()[2:] == [("slow", True)]
    assert len(results()) == 3


def test_no_row_starts_when_the_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "rows", lambda arguments, out: [Row("a", 1, ("platform",))])
    monkeypatch.setattr(accelerator, "describe_machine", dict)
    with pytest.raises(SystemExit, match="The time is over before a"):
        accelerator.main([f"--out={tmp_path}", "--minutes=0"])
    assert not (tmp_path / ROWS_FILE).exists()


@pytest.mark.slow
def test_a_killed_run_is_compared_with_a_whole_one(tmp_path, run_python):
    done = run_python("-m", "benchmark.resume", f"--out={tmp_path}", "--epochs=2")
    found = json.loads(done.stdout)
    assert (found["resumed"], found["same_metrics"], found["same_parameters"]) == (True,) * 3


def test_attention_is_timed_without_the_kernel_of_gpus(capsys):
    options = ["--cases=2x4x2x8", "--rounds=1", "--seconds=0.001"]
    found = attention.measure("2x4x2x8", attention.parse_arguments(options))
    assert found["products"]["median_ms"] > 0
    assert ("cudnn" in found) == (jax.default_backend() == "gpu")
    if "cudnn" not in found:
        assert capsys.readouterr().err.startswith("No figure of cudnn")
