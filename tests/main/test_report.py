"""The command that compares runs."""

import contextlib
import functools
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from gnp.diagnostics.spectrum import draw_spectrum
from gnp.errors import UserError
from gnp.main import live_report
from gnp.main.live_report import live_page, make_server
from gnp.main.report import report
from gnp.runs.find import read_run


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
    assert "-10.00" in table  # seed 0 alone is common to both
    assert "- SAM r=0.1 against standard: 10.0 points lower; one seed: no interval" in table
    assert table in capsys.readouterr().out
    assert (tmp_path / "out/curves.png").stat().st_size > 0
    assert "<td>-10.00</td>" in (tmp_path / "out/report.html").read_text()
    data = json.loads((tmp_path / "out/report.json").read_text())
    assert data["groups"][1]["difference"]["mean"] == pytest.approx(-10)


def test_sharpness_is_drawn_against_the_error_where_three_runs_have_it(tmp_path):
    settings = {"r": 0.1, "m": 64, "sigma": 0.01}
    measured = dict.fromkeys(("trace", "worst_case_rise", "mean_rise", "gradient_norm", "loss"), 1)
    measured |= {"eigenvalues": [2], "num_images": 9, "data": "test", "settings": settings}
    for seed in range(3):
        run = make_run(tmp_path / f"runs/{seed}", 0.0, seed, 0.1)
        (run / "diagnostics").mkdir()
        (run / "diagnostics" / "sharpness.json").write_text(json.dumps(measured))
    report([str(tmp_path / "runs")], tmp_path / "out")
    assert (tmp_path / "out/sharpness_vs_error.png").stat().st_size > 0
    assert "Sharpness against test error" in (tmp_path / "out/report.html").read_text()
    report([str(tmp_path / "runs/0")], tmp_path / "out")
    assert not (tmp_path / "out/sharpness_vs_error.png").exists()


def test_errors_by_radius_are_drawn_and_listed_where_radii_are_compared(tmp_path, capsys):
    for r in (0.0, 0.1, 0.5):
        make_run(tmp_path / f"runs/{r}", r, 0, 0.2)
    out = tmp_path / "out"
    report([str(tmp_path / "runs")], out)
    assert f"Error by radius: {out / 'error_by_radius.png'}" in capsys.readouterr().out.splitlines()
    assert (out / "error_by_radius.png").stat().st_size > 0
    assert "cosine of both gradients" in (out / "table.md").read_text()
    assert "Error by radius" in (out / "report.html").read_text()
    report([str(tmp_path / "runs/0.1")], out)
    assert not (out / "error_by_radius.png").exists()


def test_the_folder_of_a_run_keeps_its_own_picture(tmp_path):
    run = make_run(tmp_path / "run", 0.0, 0, 0.1)
    with pytest.raises(UserError, match=r"is the folder of a run, which has a curves\.png"):
        report([str(run)], run)


def test_a_folder_may_have_brackets_in_its_name(tmp_path, capsys):
    make_run(tmp_path / "r [1]" / "run", 0.0, 0, 0.1)
    report([str(tmp_path / "r [1]")], tmp_path / "out")
    assert "10.00" in capsys.readouterr().out


def test_numbers_that_json_lacks_are_shown(tmp_path):
    run = make_run(tmp_path / "run", 0.0, 0, 0.1)
    summary = json.loads((run / "summary.json").read_text())
    summary["final"]["eval/loss"] = None
    (run / "summary.json").write_text(json.dumps(summary))
    numbers = dict.fromkeys(("trace", "worst_case_rise", "mean_rise", "gradient_norm", "loss"))
    settings = {"r": 0.1, "m": 64, "sigma": 0.01}
    measured = {"eigenvalues": [None], "num_images": 9, "data": "test", "settings": settings}
    (run / "diagnostics").mkdir()
    (run / "diagnostics" / "sharpness.json").write_text(json.dumps(numbers | measured))
    report([str(run)], tmp_path / "out")
    assert "<td>nan</td>" in (tmp_path / "out" / "report.html").read_text()


def test_patterns_choose_runs_and_no_run_counts_twice(tmp_path, capsys):
    for seed in range(3):
        make_run(tmp_path / f"runs/seed_{seed}", 0.0, seed, 0.1)
    report([str(tmp_path / "runs/seed_[01]"), str(tmp_path / "runs/seed_0")], tmp_path)
    assert "| 2 " in capsys.readouterr().out


def test_a_run_that_has_only_compiled_is_shown(tmp_path):
    run = make_run(tmp_path / "run", 0.0, 0, 0.1)
    (run / "summary.json").unlink()
    (run / "timings.jsonl").write_text('{"step": 1, "time/first_step_seconds": 7.6}\n')
    assert "10.00" in live_page([str(run)])


def test_a_run_that_is_not_finished_is_skipped_and_named(tmp_path, capsys):
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    unfinished = make_run(tmp_path / "runs/b", 0.0, 1, 0.2)
    (unfinished / "summary.json").unlink()
    report([str(tmp_path / "runs/*")], tmp_path)
    printed = capsys.readouterr()
    assert f"Skipped, because it is not finished: {unfinished}" in printed.err
    assert "| 1 " in printed.out


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="There is no finished run below"):
        report([str(tmp_path)], tmp_path)


@pytest.fixture
def short_of_time(monkeypatch):
    monkeypatch.setattr(live_report, "_SECONDS_FOR_A_REQUEST", 0.5)


@pytest.fixture
def server(tmp_path):
    """The address of the page of some runs, served by this process."""
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    with make_server([str(tmp_path / "runs")], 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address
        server.shutdown()


def ask(address, request):
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(2**16), b"")).decode()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *[(f"Host: {name}\r\n", 200) for name in ("localhost", "127.0.0.1:8000", "[::1]:80")],
        *[(f"Host: {name}\r\n", 403) for name in ("evil.example", "localhost.evil.example", "")],
        ("", 403),
    ],
)
def test_the_page_is_shown_under_names_of_this_machine_alone(server, host, status):
    answer = ask(server, f"GET / HTTP/1.0\r\n{host}\r\n")
    assert answer.startswith(f"HTTP/1.0 {status} ")
    assert ("10.00" in answer) == (status == 200)


def test_requests_that_are_not_completed_hold_no_thread(short_of_time, server):
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(socket.create_connection(server, timeout=30))
            connection.sendall(b"GET / HTTP/1.0\r\n")
        deadline = time.monotonic() + 20
        while threading.active_count() > before:
            assert time.monotonic() < deadline, "they wait for ever"
            time.sleep(0.1)
        assert "10.00" in ask(server, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")


def test_a_page_that_cannot_be_made_says_so_and_is_asked_for_again(server, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(live_report, "live_page", lambda patterns: 1 / 0)
        answer = ask(server, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert "500 The page cannot be made" in answer
    assert "10.00" in ask(server, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert "Traceback" not in capfd.readouterr().err


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
    assert shown["headings"] == ["Errors", "What differs", "Curves", "Pictures", "Runs"]
    assert shown["ground"] == f"rgb({ground})"
    assert len(shown["charts"]) == 2
    assert min(shown["charts"]) > 300
    assert min(shown["pictures"]) > 100
    assert shown["overflow"] == 0
    assert set(shown["schemes"]) <= {"file", "data"}
    assert shown["messages"] == []
    assert picture.stat().st_size > 10_000


def test_the_live_page_lists_runs_in_training_and_updates_itself(tmp_path):
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    page = live_page([str(tmp_path / "runs")])
    assert 'http-equiv="refresh"' in page
    assert "In training" not in page
    unfinished = make_run(tmp_path / "runs/b", 0.1, 0, 0.2)
    (unfinished / "summary.json").unlink()
    started = make_run(tmp_path / "runs/c", 0.2, 0, 0.2)
    (started / "summary.json").unlink()
    (started / "metrics.jsonl").unlink()
    page = live_page([str(tmp_path / "runs")])
    assert f"step 1: {unfinished}" in page
    assert f"step 0: {started}" in page
    assert "20.00" in page  # the error so far of the one that was evaluated


def line(**values):
    return json.dumps({"step": 1, "eval/error_rate": 0.1} | values) + "\n"


DEEP = '{"a":' * 3000 + "1" + "}" * 3000
SUMMARY = {"final": {"eval/error_rate": 0.1}, "best": {"eval/error_rate": 0.1}}
DAMAGES = [
    *itertools.product(["config.json", "summary.json"], [b"", b"{", b"[]", b"\xff\xfe{", DEEP]),
    *itertools.product(
        ["metrics.jsonl"],
        [
            '{"eval/error_rate": 0.1}\n',
            line(step="nan"),
            line(step=1.5),
            line(step=10**400),
            line(step=-1),
            line(step=True),
            line(**{"eval/error_rate": None}),
            line(**{"eval/error_rate": [0.1]}),
            line(**{"train/loss": "0.5"}),
            line(**{"train/loss": 1e308}),
            '{"step": 1, "a": 1e',
            "null\n",
            "[" * 3000 + "\n",
            b"\xff\n",
        ],
    ),
    *itertools.product(
        ["summary.json"],
        [
            '{"final": {}}',
            json.dumps(SUMMARY | {"best": []}),
            json.dumps(SUMMARY | {"final": {"eval/error_rate": "0.1"}}),
            json.dumps(SUMMARY | {"final": {"eval/error_rate": 0.1, "eval/loss": "low"}}),
            json.dumps(SUMMARY | {"images_per_second": "many"}),
            json.dumps(SUMMARY | {"seconds": [1]}),
            json.dumps(SUMMARY | {"device": {}}),
            json.dumps(SUMMARY | {"versions": {"jax": 1}}),
            json.dumps(SUMMARY | {"git_commit": 1}),
            json.dumps(SUMMARY | {"ended": 1}),
        ],
    ),
    ("config.json", '{"seeds": [1]}'),
    ("config.json", '{"total_epochs": "ten"}'),
    ("config.json", '{"total_epochs": 0}'),
    ("diagnostics/sharpness.json", "{}"),
    ("diagnostics/sharpness.json", '{"settings": {}}'),
    ("diagnostics/diagnose.json", '{"chain": {}}'),
    ("sparsity.md", b"\xff"),
]


@pytest.mark.parametrize(("file", "content"), DAMAGES, ids=lambda value: repr(value)[:40])
def test_a_run_that_cannot_be_read_does_not_hide_the_others(tmp_path, capsys, file, content):
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    broken = make_run(tmp_path / "runs/b", 0.1, 0, 0.2)
    (broken / "diagnostics").mkdir()
    (broken / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    page = live_page([str(tmp_path / "runs")])
    assert "<td>10.00</td>" in page
    if content == '{"step": 1, "a": 1e':  # cut off while it was written
        assert "Skipped" not in page
        return
    assert page.count("Skipped, because") == 1
    assert f"{broken / file}" in page
    report([str(tmp_path / "runs")], tmp_path / "out")
    printed = capsys.readouterr()
    assert "| 10.00 " in printed.out
    assert printed.err.startswith("Skipped, because ")
    assert len(printed.err.splitlines()) == 1
    assert "Skipped, because" in (tmp_path / "out/report.html").read_text()
    with pytest.raises(UserError, match="can be read"):
        report([str(broken)], tmp_path / "out")


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl", "sparsity.md"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_not_waited_for(tmp_path, name, make):
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    broken = make_run(tmp_path / "runs/b", 0.1, 0, 0.2)
    (broken / name).unlink(missing_ok=True)
    make(broken / name)
    page = live_page([str(tmp_path / "runs")])
    assert "<td>10.00</td>" in page
    assert f"{broken / name} is " in page


def test_bytes_that_are_not_utf_8_are_shown_as_such(tmp_path):
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    odd = make_run(tmp_path / os.fsdecode(b"runs/\xff"), 0.1, 0, 0.2)
    (odd / "summary.json").unlink()
    config = json.loads((odd / "config.json").read_text())
    config["model"]["model_name"] = "Net\udcff"
    (odd / "config.json").write_text(json.dumps(config))
    page = live_page([str(tmp_path / "runs")])
    assert "step 1: " in page.encode().decode()
    assert "Net\ufffd" in page
    (odd / "summary.json").write_text((tmp_path / "runs/a/summary.json").read_text())
    report([str(tmp_path / "runs")], tmp_path / "out")
    assert "Net\ufffd" in (tmp_path / "out/table.md").read_text()
    assert (tmp_path / "out/curves.png").stat().st_size > 0


@pytest.mark.parametrize("name", [r"$\foo$", "$", r"\frac{", "a$b$c_{", "_hidden", "x\ny"])
def test_a_name_is_no_mathematics(tmp_path, name):
    settings = {"r": name, "m": 64, "sigma": 0.01}
    measured = dict.fromkeys(("trace", "worst_case_rise", "mean_rise", "gradient_norm", "loss"), 1)
    measured |= {"eigenvalues": [2], "num_images": 9, "data": name, "settings": settings | {"r": 1}}
    for seed, model in enumerate([name, name, "other", name]):
        run = make_run(tmp_path / f"runs/{seed}", 0.0, seed, 0.1)
        config = json.loads((run / "config.json").read_text())
        config["model"]["model_name"] = model
        (run / "config.json").write_text(json.dumps(config))
        (run / "diagnostics").mkdir()
        (run / "diagnostics" / "sharpness.json").write_text(json.dumps(measured))
    report([str(tmp_path / "runs")], tmp_path / "out")
    assert (tmp_path / "out/curves.png").stat().st_size > 0
    assert (tmp_path / "out/sharpness_vs_error.png").stat().st_size > 0


def test_the_best_so_far_is_by_the_metric_of_the_run(tmp_path):
    run = make_run(tmp_path / "run", 0.0, 0, 0.1)
    (run / "summary.json").unlink()
    config = json.loads((run / "config.json").read_text())
    lines = [(1, "nan", 0.9), (2, 0.5, 0.3), (3, 0.7, 0.2)]
    (run / "metrics.jsonl").write_text(
        "".join(line(step=s, **{"eval/loss": x, "eval/error_rate": e}) for s, x, e in lines)
    )
    for metric, step in (("eval/loss", 2), ("eval/error_rate", 3)):
        (run / "config.json").write_text(json.dumps(config | {"best_metric": metric}))
        assert read_run(run).summary["best"]["step"] == step
    (run / "metrics.jsonl").write_text(
        line(step=1, **{"eval/error_rate": "nan"}) + line(step=2, **{"eval/error_rate": 0.4})
    )
    assert read_run(run).summary["best"]["step"] == 2


def test_the_live_page_before_any_evaluation(tmp_path):
    assert "has been evaluated yet" in live_page([str(tmp_path)])


@pytest.fixture
def served(tmp_path):
    """A process that serves the page of some runs, how it was called, and the page's address."""
    make_run(tmp_path / "runs/a", 0.0, 0, 0.1)
    command = [sys.executable, "-m", "gnp.main.report", "--runs=runs", "--serve", "--port=0"]
    place = {
        "cwd": tmp_path,
        "env": os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        "text": True,
        # Shells start what runs in their background with SIGINT ignored, and that is inherited.
        "preexec_fn": functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    }
    with subprocess.Popen(command, stdout=subprocess.PIPE, **place) as process:
        yield process, (command, place), process.stdout.readline().split()[0]
        process.kill()


def test_the_page_is_served_until_it_is_interrupted(served):
    process, _, address = served
    with urllib.request.urlopen(address) as answer:
        assert "10.00" in answer.read().decode()
    head = urllib.request.Request(address, method="HEAD")
    with urllib.request.urlopen(head) as answer:
        assert answer.status == 200
        assert answer.read() == b""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}other")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130


def test_a_port_that_is_taken_is_refused(served):
    _, (command, place), address = served
    port = address.rstrip("/").rpartition(":")[2]
    again = [*command[:-1], f"--port={port}"]
    result = subprocess.run(again, capture_output=True, check=False, timeout=60, **place)
    assert result.returncode == 2
    assert "choose another with --port" in result.stderr
