"""The table and the picture of zeros."""

import matplotlib.image
import pytest

from gnp.report.sparsity import sparsity_table, write_sparsity

METRICS = [
    {"step": 1, "eval/loss": 1.0, "sparsity/a/kernel": 0.1, "sparsity/all": 0.1},
    {
        "step": 2,
        "eval/loss": 0.5,
        "sparsity/a/kernel": 0.25,
        "sparsity/a/kernel/filters": 0.125,
        "sparsity/b/kernel": 0.5,
        "sparsity/b/kernel/rows": 1.0,
        "sparsity/all": 0.4,
    },
    {"step": 3, "train/loss": 0.1},
]


def test_table_holds_the_last_evaluation():
    assert sparsity_table(METRICS) == {
        "a/kernel": {"elements": 0.25, "filters": 0.125},
        "b/kernel": {"elements": 0.5, "rows": 1.0},
        "all": {"elements": 0.4},
    }


def test_table_and_picture_are_written(tmp_path):
    write_sparsity(METRICS, tmp_path)
    assert (tmp_path / "sparsity.md").read_text().splitlines() == [
        "| parameter | zero elements (%) | zero filters (%) | zero rows (%) |",
        "|-----------|-------------------|------------------|---------------|",
        "| a/kernel  | 25.0              | 12.5             |               |",
        "| b/kernel  | 50.0              |                  | 100.0         |",
        "| all       | 40.0              |                  |               |",
    ]
    picture = matplotlib.image.imread(tmp_path / "sparsity.png")
    assert picture[..., :3].min() < 0.5 < picture.shape[0] / 300


@pytest.mark.parametrize("metrics", [[], [{"step": 1, "eval/loss": 1.0}]])
def test_where_nothing_is_sparse_nothing_is_written(tmp_path, metrics):
    write_sparsity(metrics, tmp_path)
    assert not list(tmp_path.iterdir())
