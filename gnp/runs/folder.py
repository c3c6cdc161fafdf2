"""The folder of a run: its path, its config, and whether a run may use it."""

import contextlib
import hashlib
import json
import logging
import pathlib
import shutil
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gnp.errors import CannotWriteError, UserError
from gnp.files import kind, read_text, write_atomically
from gnp.runs.config_file import CONFIG_FILE, flatten, plain, read_config, write_config
from gnp.runs.lock import LOCK_FILE
from gnp.runs.log import LOG_FILE
from gnp.runs.naming import is_free, with_hash

METRICS_FILE = "metrics.jsonl"
TIMINGS_FILE = "timings.jsonl"
SUMMARY_FILE = "summary.json"
CURVES_FILE = "curves.png"
TEACHER_FILE = "teacher.json"
CHECKPOINTS_FOLDER = "checkpoints"
# Checkpoints that were found damaged.
DAMAGED_FOLDER = "damaged"

# Where the instruments put what they find, and what they call it.
DIAGNOSTICS_FOLDER = "diagnostics"
SHARPNESS_FILE = "sharpness.json"
SPECTRUM_PICTURE = "spectrum.png"
DIAGNOSE_FILE = "diagnose.json"
DIAGNOSE_PICTURE = "diagnose.png"
# By kind of slice, each each with a picture of the same name.
LANDSCAPE_FILES = {1: "landscape_1d.json", 2: "landscape_2d.json", "to": "interpolation.json"}

_UNSET = "unset"

# Where config.json is not wanted: tells whether a config is that of the run.
_FINGERPRINT_FILE = ".config.sha256"

_FILES_OF_START = {CONFIG_FILE, _FINGERPRINT_FILE, LOCK_FILE, LOG_FILE, "data.json"}
_FILES_OF_START |= {"devices.json", TEACHER_FILE, CHECKPOINTS_FOLDER}
_FILES = (
    *(CONFIG_FILE, METRICS_FILE, TIMINGS_FILE, SUMMARY_FILE, CURVES_FILE),
    *(_FINGERPRINT_FILE, LOCK_FILE, "data.json", "devices.json", TEACHER_FILE, LOG_FILE),
    *("wandb_id.txt", "sparsity.md", "sparsity.png", "skipped_images.json", "images.npz"),
)
_FOLDERS = (CHECKPOINTS_FOLDER, DAMAGED_FOLDER, DIAGNOSTICS_FOLDER, "tensorboard", "profile")

_log = logging.getLogger(__name__)


def claim_folder(
    path: pathlib.Path,
    config: Any,
    *,
    defaults: Any = None,
    may_be_set: Collection[str] = (),
    retrain: bool = False,
    is_writer: bool = True,
) -> pathlib.Path:
    """Creates the folder of a run, or makes sure that the run in it has the same config.

    Writes `config.json`, or if `config.write_config_to_json` is False a hash in its place. Fields
    that have no influence on the result (`gnp.runs.naming.is_free`) may differ, and everything may
    if an earlier start never came to its first step; what it left is deleted then.

    Args:
      path: the folder, from `gnp.runs.naming`.
      config: the whole resolved config, a `ConfigDict`.
      defaults: a `ConfigDict` with the value of fields that an older `config.json` lacks; a warning
        lists them.
      may_be_set: names of fields that may be set now, though the run in the folder has them unset.
      retrain: delete what is in the folder first.
      is_writer: False in all processes but one; they only compare.

    Returns:
      `path`.

    Raises:
      UserError: the folder holds a run with another config, such as one with fields that no longer
        exist; or a folder is where a file belongs, or the reverse.
      CannotWriteError: the folder cannot be written.
    """
    defaults = {} if defaults is None else plain(defaults)
    if retrain and is_writer:
        _delete_contents(path)
    _check_kinds(path)
    has_begun = not retrain and _has_begun(path)
    # Where no run has begun, the others leave the folder to the writer.
    if not retrain and path.exists() and (is_writer or has_begun):
        changes = _changes(path, config, defaults, may_be_set, warn=is_writer and has_begun)
        if changes and has_begun:
            raise UserError(
                f"{path} holds a run with another config ({'; '.join(changes)}); set another "
                "--working_dir, or --config.retrain=True to delete that run and start over."
            )
        if changes and is_writer:
            _delete_contents(path)  # such as a list of bad images
    if is_writer:
        _make(path)
        if config.write_config_to_json:
            is_kept = (path / CONFIG_FILE).exists()
            write_config(path, config, read_config(path / CONFIG_FILE).history if is_kept else ())
        else:
            write_atomically(path / _FINGERPRINT_FILE, _fingerprint(config, defaults))
    return path


def differences(
    path: pathlib.Path, config: Any, *, defaults: Any, may_be_set: Collection[str] = ()
) -> list[str] | None:
    """What is different in the config of the run that a folder holds, as text; None: none began.

    A value that the run had before it was changed, while it trained, counts as its own.

    Args:
      path: the folder.
      config, defaults, may_be_set: as of `claim_folder`.

    Raises:
      UserError: what the folder holds is damaged.
    """
    if not _has_begun(path):
        return None
    return _changes(path, config, plain(defaults), may_be_set, with_history=True)


def folder_of_its_own(path: pathlib.Path, config: Any, defaults: Any) -> pathlib.Path:
    """The folder for a run where another one has the folder that its name says."""
    return path.with_name(with_hash(path.name, _fingerprint(config, plain(defaults))))


def missing_folders(path: pathlib.Path) -> list[pathlib.Path]:
    """A folder and those above it, as far as they do not exist; the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


@contextlib.contextmanager
def removed_if_refused(made: Sequence[pathlib.Path]) -> Iterator[None]:
    """Removes folders that were made for a run if a `UserError` is raised before its first step.

    What is more than a config, a log and a lock keeps them, such as a list of bad images.

    Args:
      made: of `missing_folders`, before they were made; empty: the run had its folder.
    """
    try:
        yield
    except UserError:
        with contextlib.suppress(OSError):  # the error matters more
            is_bare = made and {entry.name for entry in made[0].iterdir()} <= _FILES_OF_START
            if is_bare and not _has_begun(made[0]):
                shutil.rmtree(made[0])
                for folder in made[1:]:
                    folder.rmdir()
        raise


def files_about_run(path: pathlib.Path) -> set[str]:
    """Those files in a run's folder that say what it is, and are written when it starts."""
    names = (CONFIG_FILE, _FINGERPRINT_FILE, "data.json", "devices.json")
    return {name for name in names if (path / name).exists()}


def _make(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(path, error) from error


def _delete_contents(path):
    try:
        for entry in path.iterdir() if path.exists() else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK_FILE:
                entry.unlink()
    except OSError as error:
        raise CannotWriteError(path, error) from error


def _check_kinds(path):
    """Files must be files, and folders folders."""
    for wanted, names in (("a file", _FILES), ("a folder", _FOLDERS)):
        for name in names:
            found = kind(path / name)
            if found not in (wanted, "nothing"):
                raise UserError(
                    f"{path / name} is {found}, but a run keeps {wanted} there; move it away, or "
                    "set another --working_dir."
                )


def _has_begun(path):
    """Whether a step was recorded or saved; files are made before the first one."""
    metrics, checkpoints = path / METRICS_FILE, path / CHECKPOINTS_FOLDER
    return (
        (path / SUMMARY_FILE).exists()
        or (path / DAMAGED_FOLDER).exists()
        or (metrics.exists() and metrics.stat().st_size > 0)
        or (checkpoints.exists() and any(x.name.isdigit() for x in checkpoints.iterdir()))
    )


def _changes(path, config, defaults, may_be_set, *, warn=False, with_history=False):
    """The fields of the config in the folder that are others now, as text."""
    new = plain(config)
    if not (path / CONFIG_FILE).exists():
        kept = _read(path / _FINGERPRINT_FILE)
        if kept is None and warn:
            _log.warning("%s has no config; it is taken to be the same.", path)
        same = {_fingerprint(config, defaults, unset) for unset in ((), may_be_set)}
        return [] if kept in (None, *same) else ["it was not kept there"]
    kept = read_config(path / CONFIG_FILE)
    old, before = flatten(kept.fields), kept.values_before() if with_history else {}
    missing = {name: defaults[name] for name in sorted(defaults.keys() - old.keys())}
    found = missing | old
    changes = [
        f"{field}: {found.get(field, _UNSET)} -> {new.get(field, _UNSET)}"
        for field in sorted(found.keys() | new.keys())
        if found.get(field, _UNSET) != new.get(field, _UNSET) and not is_free(field)
        if not (field in may_be_set and found.get(field) is None)
        if new.get(field, _UNSET) not in before.get(field, ())
    ]
    if missing and warn and not changes:
        _log.warning(
            "%s is of an older version; the fields that it lacks have their defaults: %s.",
            path / CONFIG_FILE,
            ", ".join(f"{name} = {value!r}" for name, value in missing.items()),
        )
    return changes


def _fingerprint(config, defaults, unset=()):
    """Of the fields that matter and have not their default, so that new fields change nothing."""
    fields = {
        field: value
        for field, value in (plain(config) | dict.fromkeys(unset)).items()
        if not is_free(field) and value != defaults.get(field, _UNSET)
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _read(path):
    return read_text(path) if path.exists() else None
