"""Trains a config with each combination of some values, and compares.

gnp sweep --config=digits_noise --working_dir=DIR --grid=gnp.r=0.5,1,2 [--grid=FIELD=VALUES ...]
    [--seeds=0,1,2] [--parallel=N | --slurm="--gres=gpu:1"] [--config.FIELD=VALUE ...]

Called again it trains what is missing. The report is in DIR/report, or in --out.
"""

import itertools

from absl import flags

from gnp.errors import UserError
from gnp.main import app
from gnp.main.start import trainings


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_multi_string(
        "grid", [], "A field with values, FIELD=VALUE,VALUE; may be given repeatedly."
    )
    trainings.define_flags()


def main() -> None:
    """Trains and compares what the flags ask for."""
    if not flags.FLAGS.grid:
        raise UserError("--grid is missing; name a field and values, such as --grid=gnp.r=0.1,0.2.")
    trainings.train_and_compare(grid(flags.FLAGS.grid))


def grid(axes: list[str]) -> dict[str, dict[str, str]]:
    """All combinations of the values of some fields, each by its name.

        >>> grid(["gnp.r=0.1,0.2", "opt.groups=()"])
        {'gnp.r=0.1 opt.groups=()': {'gnp.r': '0.1', 'opt.groups': '()'}, \
'gnp.r=0.2 opt.groups=()': {'gnp.r': '0.2', 'opt.groups': '()'}}

    Raises:
      UserError: an axis has no values, or a field is named twice.
    """
    values = {}
    for axis in axes:
        field, _, text = axis.removeprefix("config.").partition("=")
        if not field or not text:
            raise UserError(f"--grid is {axis!r}; write it as --grid=gnp.r=0.1,0.2.")
        if field in values:
            raise UserError(f"--grid names {field} twice; give all its values at once.")
        if field in ("seeds", "init_seeds"):
            raise UserError(f"--grid names {field}; set both seeds by --seeds=0,1,2.")
        values[field] = _split(text)
    combinations = (
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    )
    return {" ".join(f"{f}={v}" for f, v in fields.items()): fields for fields in combinations}


def _split(text):
    """The values between the commas that are in no brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


if __name__ == "__main__":
    app.run(main, define_flags)
