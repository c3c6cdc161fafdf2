"""The script that executes the blocks of the documentation reads them rightly."""

import subprocess

import pytest

from tests import run_blocks

PAGE = """Text.

```bash
gnp report --runs=runs   # a comment
```

1. In a list:

   ```python
   if True:
       print(1)
   ```

```py
a fragment
```
"""


def test_blocks_keep_their_order_and_lose_the_indentation_of_lists():
    assert list(run_blocks.blocks(PAGE)) == [
        ("bash", "gnp report --runs=runs   # a comment\n"),
        ("python", "if True:\n    print(1)\n"),
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gnp predict --run=RUN_FOLDER photo.jpg", "gnp predict --run='a b' photo.jpg"),
        ("gnp landscape --run=RUN --to=OTHER_RUN", "gnp landscape --run='a b' --to='c'"),
        ("gnp train --config.dataset.data_dir=FOLDER", None),
    ],
)
def test_names_become_folders(command, expected):
    expected = expected or command.replace("FOLDER", "'photographs'")
    assert run_blocks.with_values(command, ["a b", "c"]) == expected


@pytest.mark.parametrize(("code", "works"), [("true", True), ("false", False)])
def test_a_block_that_fails_is_counted(tmp_path, capsys, code, works):
    assert (
        run_blocks.run("page", "bash", f"{code}\ntrue\n", tmp_path, ["a", "b"], slow=False) is works
    )
    assert ("failed: false" in capsys.readouterr().out) is not works


def test_what_cannot_run_here_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    block = "sbatch recipe/cluster/slurm.sh\ngnp landscape --run=RUN\n# a comment\n"
    assert run_blocks.run("page", "bash", block, tmp_path, ["a", "b"], slow=False)
    needs, takes = capsys.readouterr().out.splitlines()
    assert "needs a cluster" in needs
    assert "--slow runs it" in takes
