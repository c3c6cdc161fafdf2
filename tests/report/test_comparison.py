"""Runs side by side: how they are grouped, named and averaged."""

from gnp.report.comparison import Run, format_differences, format_table, group_runs


def make_run(error, best=None, **changes):
    config = {
        "model.model_name": "Net",
        "dataset.dataset_name": "digits",
        "gnp.r": 0.0,
        "gnp.alpha": 0.0,
        "seeds": 0,
        "logging.basic_logger_level": "debug",
    }
    summary = {
        "final": {"eval/error_rate": error},
        "best": {"eval/error_rate": error if best is None else best},
        "images_per_second": 1000.0,
    }
    return Run(config | {name.replace("__", "."): v for name, v in changes.items()}, summary, [])


def test_seeds_make_one_group():
    groups = group_runs([make_run(0.1), make_run(0.2, seeds=1, logging__basic_logger_level="info")])
    assert [(name, len(runs)) for name, runs in groups.items()] == [("Net on digits", 2)]


def test_groups_are_named_by_what_differs_the_plain_ones_first():
    runs = [
        make_run(0.1, gnp__r=0.1, gnp__alpha=0.8),
        make_run(0.1),
        make_run(0.1, gnp__r=0.1),
    ]
    assert list(group_runs(runs)) == ["alpha=0.0 r=0.0", "alpha=0.0 r=0.1", "alpha=0.8 r=0.1"]


def test_fields_of_the_same_short_name_are_named_in_full():
    runs = [make_run(0.1, a__size=1, b__size=1), make_run(0.1, a__size=2, b__size=2)]
    assert list(group_runs(runs)) == ["a.size=1 b.size=1", "a.size=2 b.size=2"]


def test_long_names_become_numbers_and_a_table_says_what_differs():
    fields = {f"block__field_{letter}": 1 for letter in "abcdef"}
    groups = group_runs([make_run(0.1), make_run(0.2, gnp__r=0.1, gnp__alpha=0.8, **fields)])
    assert list(groups) == ["config 1", "config 2"]
    table = [line.strip("|").split("|") for line in format_differences(groups).splitlines()]
    rows = [[cell.strip() for cell in row] for row in table]
    assert rows[0] == ["field", "config 1", "config 2"]
    assert ["gnp.r", "0.0", "0.1"] in rows
    assert ["block.field_a", "None", "1"] in rows


def test_short_names_say_what_differs():
    assert format_differences(group_runs([make_run(0.1), make_run(0.2, gnp__r=0.1)])) == ""
    assert format_differences(group_runs([make_run(0.1)])) == ""


def test_paths_are_named_only_where_they_tell_groups_apart():
    digits, flowers, trees = (
        make_run(0.1, dataset__dataset_name=name, dataset__data_dir=folder)
        for name, folder in [("digits", ""), ("photos", "/flowers"), ("photos", "/trees")]
    )
    assert list(group_runs([digits, flowers])) == ["dataset_name=digits", "dataset_name=photos"]
    assert list(group_runs([flowers, trees])) == ["data_dir=/flowers", "data_dir=/trees"]
    assert len(group_runs([digits, flowers, trees])) == 3


def test_when_to_save_makes_no_difference():
    runs = [make_run(0.1, save_ckpt_every_n_epochs=1), make_run(0.2, save_ckpt_every_n_epochs=5)]
    assert list(group_runs(runs)) == ["Net on digits"]


def test_the_table_has_mean_and_sample_deviation_and_the_difference_to_the_first():
    runs = [
        make_run(0.10, best=0.08),
        make_run(0.12, best=0.09, seeds=1),
        make_run(0.05, gnp__r=0.1, gnp__alpha=1.0),
    ]
    head, _, plain, penalized = format_table(group_runs(runs)).splitlines()
    assert "difference" in head
    cells = [cell.strip() for cell in plain.strip("|").split("|")]
    assert cells == ["alpha=0.0 r=0.0", "2", "11.00 ± 1.41", "8.50 ± 0.71", "", "1,000"]
    cells = [cell.strip() for cell in penalized.strip("|").split("|")]
    assert cells == ["alpha=1.0 r=0.1", "1", "5.00", "5.00", "-6.00", "1,000"]
