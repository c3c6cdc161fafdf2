"""The verdict on a reproduced figure."""

import pytest

from gnp.diagnostics.reproduction import PUBLISHED, format_table, training_of, verdict


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((), "not yet run"),
        ((10.1,), "differs"),
        ((9.9,), "reproduced"),
        ((10.0, 10.4), "reproduced"),  # 10.2 with a standard error of 0.2
        ((10.4, 10.6), "differs"),  # 10.5 with one of 0.1
    ],
)
def test_within_two_standard_errors_or_better(errors, expected):
    assert verdict(errors, 10.0) == expected


def test_the_table_has_every_published_cell():
    table = format_table({("ViT_TI16", "standard"): [14.0, 15.0]}).splitlines()
    assert len(table) == 2 + len(PUBLISHED)
    assert table[2] == "| ViT_TI16 | standard | 14.82 | 14.50 ± 0.71 | 2 | reproduced |"
    assert table[3].endswith("|  | 0 | not yet run |")


@pytest.mark.parametrize(
    ("r", "alpha", "strategy", "expected"),
    [
        (0.0, 0.8, "none", "standard"),
        (0.1, 0.0, "zero", "standard"),
        (0.1, 0.8, "none", "penalty"),
        (0.1, 1.0, "zero", "penalty, zero warmup"),
    ],
)
def test_the_training_of_a_run(r, alpha, strategy, expected):
    config = {"gnp.r": r, "gnp.alpha": alpha, "gr_warmup_strategy": strategy}
    assert training_of(config) == expected
