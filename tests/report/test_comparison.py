"""The table of a comparison, its verdicts and its data, with numbers worked out by hand."""

import json

import pytest

from gnp.files import json_text
from gnp.report.comparison import as_data, compare, format_comparison, notes, table, verdicts
from gnp.report.conclusion import conclusion
from gnp.report.run_groups import Run, group_runs

PENALTY = "r=0.1 alpha=0.8"
# Standard training has no weight of the penalty, whatever its config says.
ALPHA = {"field": "gnp.alpha", "values": [0.0, 0.8]}


def make_run(error, seed=0, r=0.0, *, best=None, memorized=None, instruments=None, **summary):
    config = {
        "model.model_name": "Net",
        "dataset.dataset_name": "digits",
        "gnp.r": r,
        "gnp.alpha": 0.8,
        "init_seeds": seed,
        "seeds": seed,
    }
    final = {"eval/error_rate": error}
    if memorized is not None:
        final["noise/memorized"] = memorized
    best = {"eval/error_rate": error if best is None else best}
    summary = {"final": final, "best": best, "images_per_second": 1000.0} | summary
    return Run(config, summary, [], instruments or {})


def sharpness(worst_case, eigenvalue=4.0, m=64):
    return {
        "sharpness": {
            "worst_case_rise": worst_case,
            "eigenvalues": [eigenvalue, 1.0],
            "trace": 20.0,
            "num_images": 100,
            "data": "train",
            "settings": {"r": 0.1, "m": m, "sigma": 0.01},
        }
    }


def results(*runs):
    return compare(group_runs(runs))


def columns(*runs):
    """The table's columns by their heading."""
    head, rows = table(results(*runs))
    return dict(zip(head, zip(*rows, strict=True), strict=True))


def test_errors_have_a_standard_deviation_and_a_paired_difference_with_its_interval():
    found = columns(
        make_run(0.10, 0, best=0.08),
        make_run(0.12, 1, best=0.09),
        make_run(0.05, 0, r=0.1),
        make_run(0.06, 1, r=0.1),
    )
    assert found["run"] == ("standard", PENALTY)
    assert found["seeds"] == ("2", "2")
    assert found["test error (%)"] == ("11.00 ± 1.41", "5.50 ± 0.71")
    assert found["best (%)"] == ("8.50 ± 0.71", "5.50 ± 0.71")
    # Differences −5, −6: 12.706 · 0.7071 / √2 = 6.35.
    assert found["difference (points)"] == ("reference", "-5.50 [-11.85, +0.85]")
    assert found["images/s"] == ("1,000", "1,000")
    assert list(found)[-1] == "images/s"
    assert "memorized (%)" not in found
    assert "relative time" not in found


@pytest.mark.parametrize(
    ("held_out", "part"),
    [
        ((False, False), "test"),
        ((True, True), "validation"),
        ((True, False), "test or validation"),
    ],
)
def test_headings_say_which_images_the_errors_are_of(held_out, part):
    runs = make_run(0.11), make_run(0.05, r=0.1)
    for run, is_held_out in zip(runs, held_out, strict=True):
        run.config["use_test_set"] = not is_held_out
        run.summary["final"]["eval/loss"] = 1.0
    head, _ = table(results(*runs))
    assert {f"{part} error (%)", f"{part} loss"} <= set(head)
    said = " ".join([*notes(results(*runs)), as_data(results(*runs))["convention"]])
    assert f"{part.capitalize()} error: of the last evaluation" in said
    assert f"Difference: {part} error minus" in said
    assert f"Differences are {part} errors" in said
    assert f"the {part} error falls from" in conclusion(results(*runs))


def test_one_seed_has_neither_standard_deviation_nor_interval():
    runs = make_run(0.11), make_run(0.05, r=0.1)
    found = columns(*runs)
    assert found["test error (%)"] == ("11.00", "5.00")
    assert found["difference (points)"] == ("reference", "-6.00")
    assert verdicts(results(*runs)) == [
        f"{PENALTY} against standard: 6.0 points lower; one seed: no interval; "
        "11.0 % → 5.0 % (2.2 times fewer errors)."
    ]
    said = " ".join(notes(results(*runs)))
    assert "one seed has no standard deviation" in said
    assert "±: the standard deviation" not in said
    assert "interval (Student" not in said


def test_a_group_alone_is_compared_with_nothing():
    assert "difference (points)" not in columns(make_run(0.1))
    assert verdicts(results(make_run(0.1))) == []
    assert "Difference" not in " ".join(notes(results(make_run(0.1))))


def test_memorized_labels_have_a_column_where_they_were_measured():
    found = columns(
        make_run(0.3, 0, memorized=0.6), make_run(0.3, 1, memorized=0.8), make_run(0.1, r=0.1)
    )
    assert found["memorized (%)"] == ("70.00 ± 14.14", "")


def test_cost_is_relative_to_the_reference():
    found = columns(
        make_run(0.3, 0, seconds=10.0),
        make_run(0.3, 1, seconds=20.0),
        make_run(0.1, r=0.1, seconds=30.0),
        make_run(0.1, r=0.2),
    )
    assert found["relative time"] == ("1.00", "2.00", "")


def test_sharpness_has_columns_that_say_how_many_seeds_were_measured():
    found = columns(
        make_run(0.3, 0, instruments=sharpness(0.2)),
        make_run(0.3, 1, instruments=sharpness(0.4)),
        make_run(0.1, 0, r=0.1, instruments=sharpness(0.05, eigenvalue=2.0)),
        make_run(0.1, 1, r=0.1),
    )
    assert found["worst-case sharpness"] == ("0.3 ± 0.14", "0.05 (one seed)")
    assert found["top eigenvalue"] == ("4 ± 0", "2 (one seed)")
    assert found["trace"] == ("20 ± 0", "20 (one seed)")


@pytest.mark.parametrize(
    ("first", "second", "warning"),
    [
        ({"instruments": sharpness(0.2)}, {"instruments": sharpness(0.2, m=8)}, "with different s"),
        ({"device": "1 x cpu"}, {"device": "1 x gpu"}, "used different devices"),
        ({}, {"finished": False}, "not finished: 1"),
    ],
)
def test_what_does_not_compare_is_told(first, second, warning):
    def said(first, second):
        return " ".join(notes(results(make_run(0.1, **first), make_run(0.1, r=0.1, **second))))

    assert warning in said(first, second)
    assert warning not in said(first, first)


def test_the_text_has_the_table_the_verdicts_and_the_notes():
    runs = [make_run(0.1, 0), make_run(0.1, 1), make_run(0.06, 0, r=0.1), make_run(0.061, 1, r=0.1)]
    text = format_comparison(results(*runs))
    assert text.startswith("| run             | seeds |")
    # Differences −4 and −3.9: 12.706 · 0.0707 / √2 = 0.635.
    verdict = f"- {PENALTY} against standard: lower in 2 of 2 seeds, by 3.95 ± 0.64 points.\n"
    assert verdict in text
    assert "negative is better" in text
    assert "several comparisons" not in text
    more = [make_run(0.2, 0, r=0.5), make_run(0.2, 1, r=0.5)]
    assert "several comparisons" in format_comparison(results(*runs, *more))


def test_the_data_have_the_same_numbers_and_every_seed():
    runs = [make_run(0.1, 0), make_run(0.12, 1), make_run(0.05, 0, r=0.1), make_run(0.05, 1, r=0.1)]
    data = json.loads(json_text(as_data(results(*runs))))
    assert data["differing_fields"] == [{"field": "gnp.r", "values": [0.0, 0.1]}, ALPHA]
    reference, penalized = data["groups"]
    assert reference["difference"] is None
    assert (reference["reference"], penalized["reference"]) == (None, "standard")
    assert penalized["name"] == PENALTY
    assert penalized["difference"]["mean"] == pytest.approx(-6)
    # Differences −5, −7: 12.706 · 1.414 / √2 = 12.706.
    assert penalized["difference"]["interval"] == pytest.approx([-18.706, 6.706], abs=1e-3)
    assert penalized["difference"]["factor"] == pytest.approx(2.2)
    assert penalized["difference"]["verdict"].startswith("no difference can be told")
    assert penalized["relative_time"] is None
    errors = reference["quantities"]["test_error"]
    assert errors["mean"] == pytest.approx(11)
    assert errors["standard_deviation"] == pytest.approx(1.414, abs=1e-3)
    seeds = {"init_seeds": 1, "seeds": 1, "dataset.label_noise_seed": 0}
    assert errors["values"][1] == {**seeds, "value": pytest.approx(12)}
    assert "memorized" not in reference["quantities"]
