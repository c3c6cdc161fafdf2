"""The report page, whatever the files of one of its runs hold."""

import copy
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from gnp.main.live_report import live_page
from gnp.main.report import report

EVALUATION = {"eval/error_rate": 0.1, "eval/loss": 1.0, "noise/memorized": 0.2}
FILES = {
    "config.json": {
        "model": {"model_name": "Net", "model_params": {"width": 3}},
        "dataset": {"dataset_name": "digits", "label_noise_seed": 0, "data_dir": "/data"},
        "gnp": {"r": 0.5, "alpha": 1.0, "mode": "two_pass", "ascent": "gradient"},
        "regularization": {"weight": {"l1": {"strength": 0.0}}},
        "total_epochs": 2,
        "evaluate_every_n_epochs": 1,
        "best_metric": "eval/loss",
        "seeds": 0,
        "init_seeds": 0,
    },
    "summary.json": {
        "steps": 4,
        "final": EVALUATION,
        "best": EVALUATION | {"step": 4},
        "stopped_early": False,
        "seconds": 3.0,
        "images_per_second": 10.0,
        "device": "1 x cpu",
    },
    "metrics.jsonl": [
        {"step": 1, "train/loss": 2.0, "train/learning_rate": 0.1, "sparsity/all": 0.5},
        {"step": 2, **EVALUATION},
        {"step": 3, "train/loss": 1.0, "train/learning_rate": 0.1, "sparsity/all": 0.5},
        {"step": 4, **EVALUATION},
    ],
    "timings.jsonl": [{"step": 4, "time/images_per_second": 10.0}],
    "diagnostics/sharpness.json": {
        **{"num_images": 9, "data": "test", "step": 4, "eigenvalues": [2.0, 1.0]},
        **dict.fromkeys(("trace", "worst_case_rise", "mean_rise", "gradient_norm", "loss"), 1.0),
        "settings": {"r": 0.1, "m": 64, "sigma": 0.01},
    },
    "diagnostics/diagnose.json": {
        "step": 4,
        "chain": {"gain": 1.0, "product": 2.0, "verdict": "healthy"},
    },
}
ODD = [
    *(None, True, False, "", "x", "nan", "\udcff", "$\\foo$", [], {}, [None], {"a": 1}),
    *(0, -1, 10**15, 10**30, -(10**400), 0.0, -0.0, 1e-320, 1e99, -1e99, 1e308, float("nan")),
    float("inf"),
]


def write_run(folder, files):
    (folder / "diagnostics").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        lines = [f"{json.dumps(line)}\n" for line in content] if name.endswith("l") else []
        (folder / name).write_text("".join(lines) or json.dumps(content))


def places(value, path=()):
    """The paths to all values within a value."""
    if len(path) > 1:
        yield path
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(entry, (*path, key))


def changed(files, path, value):
    """A copy with another value at a place; without it if that is Ellipsis."""
    files = copy.deepcopy(files)
    *parents, last = path
    inner = files
    for key in parents:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return files


PLACES = list(places(FILES))


def assert_shown(tmp_path, files):
    """The good run is on the page, and the other one is too, or a line says why not."""
    for finished in (True, False):
        shown = {n: c for n, c in files.items() if finished or n != "summary.json"}
        (tmp_path / "runs/b/summary.json").unlink(missing_ok=True)
        write_run(tmp_path / "runs/b", shown)
        page = live_page([str(tmp_path / "runs")])
        page.encode()
        assert "10.00" in page
        is_shown = "<h1>2 runs of" in page or (not finished and "In training" in page)
        assert is_shown != (page.count("<li>Skipped, because ") == 1)


@pytest.fixture
def folder(tmp_path):
    other = changed(changed(FILES, ("config.json", "gnp", "r"), 0.0), ("config.json", "seeds"), 1)
    write_run(tmp_path / "runs/a", other)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("path", PLACES, ids=str)
def test_any_value_may_be_odd(folder, path):
    for value in (..., *ODD):
        if not (value is ... and isinstance(path[-1], int)):
            assert_shown(folder, changed(FILES, path, value))


@hypothesis.settings(max_examples=60)
@hypothesis.given(changes=st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD))))
def test_several_values_may_be_odd(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("page")
    write_run(folder / "runs/a", changed(FILES, ("config.json", "gnp", "r"), 0.0))
    files = FILES
    for path, value in changes:
        try:
            files = changed(files, path, value)
        except (KeyError, TypeError, IndexError):
            continue  # the place is gone
    assert_shown(folder, files)


def test_the_report_draws_a_run_with_odd_numbers(folder):
    odd = [1e-320, 1e99, -1e99, float("nan"), float("inf"), 0.0]
    lines = [
        {"step": s, "eval/error_rate": abs(x), "eval/loss": x, "train/loss": -x}
        for s, x in enumerate(odd, 1)
    ]
    write_run(folder / "runs/b", FILES | {"metrics.jsonl": lines})
    report([str(folder / "runs")], folder / "out")
    assert (folder / "out/curves.png").stat().st_size > 0
