"""A table of our test errors beside published ones; recipe/reproduce.sh trains what goes into it.

python -m gnp.main.reproduction --runs=FOLDER --out=FOLDER
"""

import collections
import json
import pathlib
import sys

from absl import flags

from gnp.diagnostics.reproduction import BATCH_SIZE, EPOCHS, PUBLISHED, format_table, training_of
from gnp.errors import UserError
from gnp.main import app
from gnp.training.run_folder import CONFIG_FILE, flatten, write_atomically
from gnp.training.summary import SUMMARY_FILE

TABLE_FILE = "reproduction.md"


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("runs", None, "The folder that the runs lie below.")
    flags.DEFINE_string("out", None, f"The folder that {TABLE_FILE} is put into.")


def main() -> None:
    """Writes and prints the table of the runs that the flags name."""
    runs, out = flags.FLAGS.runs, flags.FLAGS.out
    if not runs or not out:
        raise UserError("--runs=FOLDER and --out=FOLDER are both needed.")
    table = format_table(read_errors(pathlib.Path(runs)))
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    write_atomically(pathlib.Path(out) / TABLE_FILE, table + "\n")
    print(table)


def read_errors(folder: pathlib.Path) -> dict[tuple[str, str], list[float]]:
    """Final test errors in percent of the finished runs below a folder, by model and training.

    Runs of other lengths than the published ones, or on other data, are named and left out.
    """
    errors = collections.defaultdict(list)
    for file in sorted(folder.rglob(SUMMARY_FILE)):
        config = flatten(json.loads((file.parent / CONFIG_FILE).read_text()))
        if not _is_comparable(config):
            print(f"Left out, as its settings are others: {file.parent}", file=sys.stderr)
            continue
        error = json.loads(file.read_text())["final"]["eval/error_rate"]
        errors[config["model.model_name"], training_of(config)].append(100 * error)
    return errors


def _is_comparable(config):
    return (
        config["dataset.dataset_name"] == "cifar10"
        and config["total_epochs"] == EPOCHS
        and config["batch_size"] == BATCH_SIZE
        and config["dataset.num_train_images"] == 0
        and (config["model.model_name"], "standard") in PUBLISHED
    )


if __name__ == "__main__":
    app.run(main, define_flags)
