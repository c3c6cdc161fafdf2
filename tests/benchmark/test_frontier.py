"""The frontier: what a method is given, and what is said about the results."""

import json

import pytest

from benchmark import frontier
from benchmark.frontier_report import pareto_front, share_of_gain, table, write


def row(method, errors, passes, clean=(), chosen=None):
    return {
        "method": method,
        "chosen": chosen,
        "error_percent": errors,
        "passes": passes,
        "time/standard": 1.1 * passes,
        "clean_error_percent": list(clean),
    }


ROWS = [
    row("standard", [28.0, 24.0], 1.0, [0.2, 0.2]),
    row("penalty", [2.0, 2.0], 2.0, [0.4, 0.6], chosen=1),
    row("momentum", [4.0, 4.0], 1.2, [0.2, 0.4], chosen=1.25),
    row("random ascent", [26.0, 27.0], 2.0, chosen=0.5),
]


def test_share_of_the_two_pass_gain():
    by_name = {one["method"]: one for one in ROWS}
    assert share_of_gain(ROWS[2], by_name) == pytest.approx(22 / 24)
    assert share_of_gain(ROWS[1], by_name) == 1


def test_the_front_has_what_nothing_beats_in_both():
    assert [one["method"] for one in pareto_front(ROWS)] == ["standard", "momentum", "penalty"]


def test_table_has_paired_differences_with_intervals():
    lines = table(ROWS).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    # Differences 24 and 20; Student's t of one degree of freedom is 12.71.
    assert "| 1.25 | 1.20 | 1.32 | 4.00 ± 0.00 | 22.00 ± 25.41 | 92 % |" in lines[4]


def test_every_method_has_as_many_candidates_and_fields_that_go_together(monkeypatch):
    monkeypatch.setattr(frontier.jax, "device_count", lambda: 1)  # a share is of one device's
    counts = {len(m.candidates) for name, m in frontier.METHODS.items() if name != "standard"}
    assert len(counts) == 1
    arguments = frontier.parse_arguments([])
    passes = {}
    for name, method in frontier.METHODS.items():
        for candidate in method.candidates or (None,):
            config = frontier._config(name, candidate, arguments)
            passes[name] = frontier._passes(config, steps=660)
    assert passes["standard"] == passes["momentum"] == passes["stale"] == 1
    assert passes["penalty"] == passes["SAM"] == 2
    assert passes["every 2nd step"] == 1.5
    assert passes["quarter batch + plain end"] == pytest.approx(1.225)
    assert passes["late phase"] == pytest.approx(1 + 8 / 30)


def test_other_radii_are_those_of_all_methods_that_choose_one():
    radii = frontier.parse_arguments(["--radii=0.1,0.25"]).radii
    assert frontier.METHODS["penalty"].with_radii(radii).candidates == (0.1, 0.25)
    assert frontier.METHODS["L2"].with_radii(radii) == frontier.METHODS["L2"]


def test_there_is_something_to_compare_with(capsys):
    with pytest.raises(SystemExit) as stop:
        frontier.parse_arguments(["--methods=L2"])
    assert stop.value.code == 2
    assert "--methods needs standard" in capsys.readouterr().err


def test_command_chooses_on_held_out_images_and_writes_table_picture_and_json(tmp_path, capsys):
    arguments = [
        "--methods=standard,momentum",
        "--fields=total_epochs=1;dataset.num_train_images=128;model.model_name=ViT_Micro;"
        "model.model_params.patches.size=4",
        "--seeds=1",
        "--choose_seeds=1",
        f"--working_dir={tmp_path / 'runs'}",
        f"--out={tmp_path / 'out'}",
    ]
    frontier.main(arguments)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["method"] for one in rows] == ["standard", "momentum"]
    assert set(rows[1]["held_out_error_percent"]) == {"0.75", "1", "1.25", "1.5"}
    assert len(rows[1]["clean_error_percent"]) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "frontier.json",
        "frontier.md",
        "frontier.png",
    }
    configs = [json.loads(p.read_text()) for p in (tmp_path / "runs").rglob("config.json")]
    assert {config["use_test_set"] for config in configs} == {True, False}


def test_rows_can_be_written_without_clean_labels(tmp_path):
    write([row("standard", [28.0], 1.0), row("penalty", [2.0], 2.0)], tmp_path)
    assert "| penalty |" in (tmp_path / "frontier.md").read_text()
