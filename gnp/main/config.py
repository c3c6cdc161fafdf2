"""The config of a run: its file, and the fields that the command line overrides."""

import importlib.util
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
from absl import flags

from gnp import configs
from gnp.errors import UserError, reason, unknown_name
from gnp.files import read_text
from gnp.main.fields.described import DescribedField, described_fields
from gnp.main.fields.overrides import resolve
from gnp.main.fields.values import CommandLineText, shortened, shown
from gnp.runs import config_file
from gnp.runs.config_file import CONFIG_FILE, plain

# Flags of the reference, and the field that each one sets.
_FLAG_FIELDS = {
    "cutout_length": "dataset.cutout_length",
    "imagenet_mixup_alpha": "dataset.imagenet_mixup_alpha",
    "randaug_magnitude": "dataset.randaug_magnitude",
    "randaug_num_layers": "dataset.randaug_num_layers",
}

# Every field with its default.
BASE = configs.FOLDER / "base.py"

# How a clone calls the folder of the configs, and an installation too.
_IN_CLONE = "config/"


def define_flags() -> None:
    """The flags that name a config and override its fields; every command has them."""
    flags.DEFINE_string(
        "config", None, "The config, such as digits or mine.py; --config.FIELD=VALUE overrides it."
    )
    flags.DEFINE_multi_string(
        "config_field", [], "FIELD=VALUE, another way to write --config.FIELD=VALUE."
    )
    for flag, field in _FLAG_FIELDS.items():
        flags.DEFINE_string(flag, None, f"Another way to write --config.{field}.")


class Origin(NamedTuple):
    """Where a config is from; the folders of runs are named after it.

    Attributes:
      stem: the name of its file, or of its data set if it has none.
      fields: what the file says, over the defaults; by dotted names.
      run: the folder of the run that the file is of; None: it is of none.
    """

    stem: str
    fields: Mapping[str, Any]
    run: pathlib.Path | None = None


class Config(ml_collections.FrozenConfigDict):
    """All fields of a config. It remembers the file that it is from."""

    def __init__(self, fields: Any = None, origin: Origin | None = None):
        super().__init__(fields)
        object.__setattr__(self, "_origin", origin)


def origin_of(config: Any) -> Origin:
    """The file that a config is from; where there is none, the defaults stand for it."""
    origin = getattr(config, "_origin", None)
    return origin or Origin(config.dataset.dataset_name, plain(default_config()))


def read_config(*fields: str) -> ml_collections.FrozenConfigDict:
    """The config that the command line asks for, and over it `fields`.

    Raises:
      UserError: the file or a field is missing, unknown or of the wrong type.
    """
    if not flags.FLAGS.config:
        raise UserError(
            f"--config is missing; name a config ({', '.join(config_names())}), or the file of "
            "your own."
        )
    return load_config(flags.FLAGS.config, [*overrides(), *fields])


def overrides() -> list[str]:
    """The fields that the command line sets, as `FIELD=VALUE`."""
    fields = list(flags.FLAGS.config_field)
    for flag, field in _FLAG_FIELDS.items():
        if flags.FLAGS[flag].value is not None:
            fields.append(f"{field}={flags.FLAGS[flag].value}")
    return fields


def load_config(
    path: str, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> ml_collections.FrozenConfigDict:
    """Resolves a config: the defaults, over them the file, over them the overrides.

    >>> config = gnp.load_config("digits", {"gnp.r": 0.1, "gnp.alpha": 0.8})
    >>> config.gnp.r, config.dataset.dataset_name
    (0.1, 'digits')

    Args:
      path: a Python file with a function `get_config`, or the `config.json` of a run; looked for
        in the current folder. A name without an ending, such as `digits`, and `config/digits.py`
        are those of a config that comes with the package, too.
      overrides: as in `["gnp.r=0.1"]` or `{"gnp.r": 0.1}`.

    Raises:
      UserError: the file or a field is missing, unknown or of the wrong type.
    """
    of_file = (path, _from_file(path))
    changes = [("--config", block) for block in _blocks(overrides)]
    config = resolve(default_config(), [of_file, *changes])
    fields = plain(resolve(default_config(), [of_file]))
    file = pathlib.Path(path).absolute()
    if file.name == CONFIG_FILE:  # a name that says nothing
        return Config(config, Origin(config.dataset.dataset_name, fields, file.parent))
    return Config(config, Origin(file.stem, fields))


def changed(
    config: Any, overrides: Sequence[str] | Mapping[str, Any]
) -> ml_collections.FrozenConfigDict:
    """A config with other values of some fields.

    Args:
      config: all fields.
      overrides: as of `load_config`.

    Raises:
      UserError: a field is unknown or a value of the wrong type.
    """
    changes = [("--config", block) for block in _blocks(overrides)]
    fields = resolve(default_config(), [("the config", config.to_dict()), *changes])
    return Config(fields, getattr(config, "_origin", None))


def as_config(given: Any) -> ml_collections.FrozenConfigDict:
    """A config of what Python code gives.

    Args:
      given: a name or a file, as of `load_config`; or fields with values, nested.

    Raises:
      UserError: as `load_config`; or it is neither.
    """
    if isinstance(given, str | os.PathLike):
        return load_config(os.fspath(given))
    if isinstance(given, Config):
        return given
    values = given.to_dict() if hasattr(given, "to_dict") else given
    if not isinstance(values, Mapping):
        raise UserError(
            f"The config is {shown(given)}; give a name such as digits, a file, or a dictionary."
        )
    return resolve(default_config(), [("the config", values)])


def default_config() -> ml_collections.ConfigDict:
    """Every field with its default, from `config/base.py`."""
    if not _is_file(BASE):
        raise UserError(f"{BASE}, which holds all fields, is missing; install gnp again.")
    return _run_config_file(BASE)


def all_fields() -> list[DescribedField]:
    """Every field with its default and its meaning, from `config/base.py`."""
    return described_fields(read_text(BASE))


def config_names() -> list[str]:
    """The configs that come with the package: names that --config takes."""
    files = configs.FOLDER.glob("*.py")
    return sorted(file.stem for file in files if file.stem not in ("__init__", "base"))


def as_plain_flags(argv: Sequence[str]) -> list[str]:
    """Rewrites `--config.FIELD=VALUE` so that absl, which knows no such flags, understands it.

    A field may also have its value in the next argument, or, if it is True or False, be switched
    by `--config.FIELD` and `--noconfig.FIELD`.
    """
    plain = []
    arguments = list(argv)
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            return [*plain, argument, *arguments]
        match = re.fullmatch(r"--?(no)?config\.([^=]+)(=(.*))?", argument, re.DOTALL)
        if not match:
            plain.append(argument)
            continue
        negated, field, has_value, value = match.groups()
        if negated:
            value = "False"
        elif not has_value:
            is_switch = not arguments or arguments[0].startswith("--")
            value = "True" if is_switch else arguments.pop(0)
        plain.append(f"--config_field={field}={value}")
    return plain


def _blocks(overrides):
    """Each override as blocks within each other."""
    if isinstance(overrides, str):
        overrides = [overrides]
    if not isinstance(overrides, Mapping):
        texts = (override.partition("=") for override in overrides)
        return [_nested(field, CommandLineText(text)) for field, _, text in texts]
    return [_nested(field, value) for field, value in overrides.items()]


def _nested(field, value):
    for name in reversed(field.split(".")):
        value = {name: value}
    return value


def _from_file(path: str) -> Mapping[str, Any]:
    is_name = re.fullmatch(r"\w+", path)
    candidates = [pathlib.Path.cwd() / path]
    if is_name:
        candidates += [pathlib.Path.cwd() / f"{_IN_CLONE}{path}.py", configs.FOLDER / f"{path}.py"]
    elif path.startswith(_IN_CLONE):
        candidates.append(configs.FOLDER / path.removeprefix(_IN_CLONE))
    file = next(filter(_is_file, candidates), None)
    if file is None and is_name:
        raise unknown_name("config", shortened(path), config_names() or ["files of your own"])
    if file is None:
        raise UserError(
            f"There is no config file {shortened(str(candidates[0]))}; name a Python file with a "
            "function get_config, such as --config=config/digits.py."
        )
    if file.suffix == ".json":
        return config_file.read_config(file).fields
    try:
        loaded = _run_config_file(file)
        return loaded.to_dict() if hasattr(loaded, "to_dict") else dict(loaded)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        if error.name != "config":
            raise _failed(file, error) from error
        raise UserError(
            f"The config file {file} imports from config, which only a clone has; write "
            "from gnp.configs import base."
        ) from error
    except (Exception, SystemExit) as error:
        raise _failed(file, error) from error


def _failed(file, error):
    return UserError(
        f"The config file {file} fails in line {line_of(error, file)}: "
        f"{type(error).__name__}: {reason(error)}."
    )


def _is_file(path):
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _run_config_file(file: pathlib.Path) -> Any:
    """What `get_config` of a file returns; it may import its neighbours, and in a clone config."""
    if file.suffix != ".py":
        raise UserError(f"The config file {file} is neither a .py nor a .json file; name one.")
    spec = importlib.util.spec_from_file_location(f"gnp_config_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    clone = [str(configs.FOLDER.parent)] if configs.FOLDER.name == "config" else []
    sys.path[:0] = [*clone, str(file.parent), str(file.parent.parent)]
    try:
        spec.loader.exec_module(module)
        return module.get_config()
    finally:
        sys.path[:] = before


def line_of(error: BaseException, file: pathlib.Path) -> int | str:
    """The line of a Python file in which running it failed; "?" if none did."""
    if isinstance(error, SyntaxError):
        return error.lineno or "?"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return lines[-1] if lines else "?"
