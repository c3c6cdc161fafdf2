"""The verdict on a reproduced figure."""

import pytest

from gnp.report.reproduction import PUBLISHED, format_table, verdict


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((), "not yet run"),
        ((9.9,), "1 of 3 seeds"),
        ((9.9, 9.9), "2 of 3 seeds"),
        ((9.9, 9.9, 9.9), "reproduced"),
        ((10.0, 10.2, 10.4), "reproduced"),  # 10.2 with a standard error of 0.12
        ((10.3, 10.4, 10.5), "differs"),  # 10.4 with one of 0.06
        ((10.0, 10.0, 10.2, 10.2), "reproduced"),  # 10.1 with one of 0.06
    ],
)
def test_within_two_standard_errors_or_better(errors, expected):
    assert verdict(errors, 10.0) == expected


def test_the_table_has_every_published_cell():
    table = format_table({("ViT_TI16", "standard"): [14.0, 15.0, 14.5]}).splitlines()
    assert len(table) == 2 + len(PUBLISHED)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows[2] == ["ViT_TI16", "standard", "14.82", "14.50 ± 0.50", "3", "reproduced"]
    assert rows[3][3:] == ["", "0", "not yet run"]
