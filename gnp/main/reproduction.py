"""A table of our test errors beside published ones; recipe/reproduce.sh trains the runs for it.

python -m gnp.main.reproduction --runs=FOLDER --out=FOLDER
"""

import collections
import fnmatch
import pathlib
import sys

from absl import flags

import gnp
from gnp.errors import UserError
from gnp.files import make_folder, write_atomically
from gnp.main import app
from gnp.main.config import load_config
from gnp.report.reproduction import PUBLISHED, format_table
from gnp.runs.config_file import CONFIG_FILE, flatten, read_config
from gnp.runs.find import read_summary
from gnp.runs.folder import SUMMARY_FILE

TABLE_FILE = "reproduction.md"

# The trainings of recipe/reproduce.sh: a config and the fields that are overridden.
TRAININGS = {
    "standard": ("cifar10_vit", "gnp.r=0", "gnp.alpha=0"),
    "penalty": ("cifar10_vit",),
    "penalty, zero warmup": ("cifar10_vit_zero_warmup",),
}
# Fields that may differ within one experiment: seeds, precision, how images are read, what is saved
# and reported.
FREE_FIELDS = (
    *("init_seeds", "seeds", "compute_dtype", "steps_per_loop"),
    *("dataset.loader", "dataset.data_dir", "dataset.num_parallel_calls"),
    *("dataset.memory_limit_gb", "tfds_dir"),
    *("evaluate_every_n_epochs", "compute_top_5_error_rate", "best_metric", "interrupt_exit_code"),
    *("save_ckpt_*", "keep_*", "retrain", "run_path", "write_config_to_json", "profile_steps"),
    "logging.*",
)

_CONFIGS = pathlib.Path(gnp.__file__).parents[1] / "config"


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("runs", None, "The folder that contains the runs.")
    flags.DEFINE_string("out", None, f"The folder for {TABLE_FILE}.")


def main() -> None:
    """Writes and prints the table of the runs that the flags name."""
    runs, out = flags.FLAGS.runs, flags.FLAGS.out
    if not runs or not out:
        raise UserError("--runs=FOLDER and --out=FOLDER are both needed.")
    out = make_folder(out, "--out")
    table = format_table(read_errors(pathlib.Path(runs)))
    print(table)
    write_atomically(out / TABLE_FILE, table + "\n")


def read_errors(folder: pathlib.Path) -> dict[tuple[str, str], list[float]]:
    """Final test errors in percent of the finished runs below a folder, by model and training.

    A run counts if its config equals that of a published cell in all fields but `FREE_FIELDS`.
    Each pair of seeds counts once. Other runs are skipped, and stderr says why.

    Raises:
      UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; name the one that contains the runs.")
    cells = {cell: _settings(_cell_config(*cell)) for cell in PUBLISHED}
    errors = collections.defaultdict(dict)
    for file in sorted(folder.rglob(SUMMARY_FILE)):
        try:
            config = load_config(str(file.with_name(CONFIG_FILE).absolute()))
            changes = _changes(file.with_name(CONFIG_FILE))
            error = 100 * read_summary(file)["final"]["eval/error_rate"]
        except UserError as fault:
            _skip(file.parent, str(fault))
            continue
        differences = {cell: _differences(_settings(config), cells[cell]) for cell in cells}
        nearest = min(cells, key=lambda cell: len(differences[cell]))
        seeds = config.init_seeds, config.seeds
        if changes:
            _skip(file.parent, f"it was changed while it trained: {', '.join(changes)}.")
        elif differences[nearest]:
            _skip(file.parent, f"its settings differ: {', '.join(differences[nearest])}.")
        elif seeds in errors[nearest]:
            _skip(file.parent, "another run has the same settings and seeds.")
        else:
            errors[nearest][seeds] = error
    return {cell: list(of_seeds.values()) for cell, of_seeds in errors.items()}


def _cell_config(model, training):
    name, *fields = TRAININGS[training]
    return load_config(str(_CONFIGS / f"{name}.py"), [f"model.model_name={model}", *fields])


def _settings(config):
    """The fields that define an experiment, by their full names."""
    fields = flatten(config.to_dict())
    return {name: value for name, value in fields.items() if not _is_free(name)}


def _changes(file):
    """What was changed of an experiment while it trained."""
    return [str(change) for change in read_config(file).history if not _is_free(change.field)]


def _is_free(field):
    return any(fnmatch.fnmatchcase(field, free) for free in FREE_FIELDS)


def _differences(settings, wanted):
    names = sorted(settings.keys() | wanted.keys())
    return [
        f"{name}={settings.get(name)!r}" for name in names if settings.get(name) != wanted.get(name)
    ]


def _skip(run, reason):
    print(f"Skipped: {run}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    app.run(main, define_flags)
