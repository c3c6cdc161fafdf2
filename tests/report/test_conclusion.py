"""What a comparison says in one sentence."""

import pytest

from gnp.report.conclusion import conclusion
from gnp.report.seeds import percent
from tests.report.test_comparison import PENALTY, make_run, results

DATA = {"data": {"num_train_images": 1437, "label_noise": {"changed": 522, "num_images": 1437}}}
RIGHT = {"data": {"num_train_images": 1437}}


def said(standard, penalized, instruments=DATA, **summary):
    """The sentence on errors of seeds 0, 1, …"""
    runs = [make_run(e, seed, instruments=instruments) for seed, e in enumerate(standard)]
    runs += [
        make_run(e, seed, r=0.1, instruments=instruments, **summary)
        for seed, e in enumerate(penalized)
    ]
    return conclusion(results(*runs))


@pytest.mark.parametrize(
    ("standard", "penalized", "change"),
    [
        # Differences −26, −27: margin 12.7 · 0.707 / √2 = 6.4.
        (
            (0.27, 0.28),
            (0.01, 0.01),
            f"falls from 27.5 % (standard) to 1.0 % ({PENALTY}), 28 times fewer errors, in 2 of 2 "
            "seeds",
        ),
        (
            (0.01,),
            (0.03,),
            f"rises from 1.0 % (standard) to 3.0 % ({PENALTY}), 3.0 times more errors, with one "
            "seed",
        ),
        ((0.2,), (0.18,), "to 18.0 % (r=0.1 alpha=0.8), 2.0 points, with one seed"),
        ((0.2,), (0.0,), "to 0.00 % (r=0.1 alpha=0.8), no errors left, with one seed"),
        ((0.2,), (0.2,), f"is 20.0 % with standard and with {PENALTY}, one seed"),
    ],
)
def test_it_says_how_the_error_changed(standard, penalized, change):
    assert said(standard, penalized).endswith(f"{change}.")
    assert ": the test error " in said(standard, penalized)


def test_nothing_is_claimed_where_no_difference_can_be_told():
    # Differences −10, −1: the margin is wider than the mean.
    sentence = said((0.2, 0.2), (0.1, 0.19))
    assert sentence == (
        "Net trained on 1,437 images of digits, 36 % of them with a wrong label: no difference in "
        f"test error can be told over 2 seeds (20.0 % with standard, 14.5 % with {PENALTY})."
    )


def test_it_says_what_was_trained_as_far_as_that_is_known():
    assert said((0.2,), (0.1,), RIGHT).startswith("Net trained on 1,437 images of digits: the")
    assert said((0.2,), (0.1,), {}).startswith("Net trained on digits: the")
    runs = [
        make_run(0.2, 0, instruments=DATA),
        make_run(0.1, 0, r=0.1, instruments=RIGHT),
    ]
    assert "0 to 36 % of them with a wrong label" in conclusion(results(*runs))
    for run in runs:
        run.config["total_epochs"] = 30
    assert "Net trained for 30 epochs on 1,437" in conclusion(results(*runs))
    runs[0].config["total_epochs"] = 20
    assert " for " not in conclusion(results(*runs))


def test_it_says_what_it_cost():
    runs = make_run(0.2, seconds=12.0), make_run(0.1, r=0.1, seconds=30.0)
    sentence = conclusion(results(*runs))
    assert sentence.endswith("; a training takes 30 s in place of 12 s, 2.5 times as long.")


@pytest.mark.parametrize("errors", [(0.1,), (0.1, 0.2, 0.3)])
def test_one_group_or_three_have_none(errors):
    assert conclusion(results(*(make_run(e, r=e) for e in errors))) == ""


def test_groups_that_do_not_compare_have_none():
    assert conclusion(results(make_run(0.1, 0), make_run(0.1, 1, r=0.1))) == ""
    assert conclusion(results(make_run(0.1), make_run(float("nan"), r=0.1))) == ""


def test_small_errors_have_two_decimals():
    assert (percent(0.28), percent(1.44)) == ("0.28 %", "1.4 %")
