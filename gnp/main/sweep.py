"""Trains a config with each combination of some values, and compares.

gnp sweep --config=digits_noise --working_dir=DIR [--grid=gnp.r=0.5,1,2] [--grid=FIELD=VALUES ...]
    [--variant="FIELD=VALUE FIELD=VALUE" ...] [--seeds=0,1,2]
    [--parallel=N | --slurm="--gres=gpu:1"] [--config.FIELD=VALUE ...]

A grid has all combinations of its values, a variant sets its fields together. Without both, the
config is trained with each seed. Called again it trains what is missing. The report is in
DIR/report, or in --out.
"""

import itertools
from collections.abc import Sequence

from absl import flags

from gnp.errors import UserError
from gnp.main import app
from gnp.main.start import trainings

_EXAMPLES = {"--grid": "--grid=gnp.r=0.1,0.2", "--variant": '--variant="gnp.r=0.5 gnp.alpha=1"'}


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_multi_string(
        "grid", [], "A field with values, FIELD=VALUE,VALUE; may be given repeatedly."
    )
    flags.DEFINE_multi_string(
        "variant",
        [],
        'Fields with one value each, "FIELD=VALUE FIELD=VALUE"; none is the config itself. May be '
        "given repeatedly.",
    )
    trainings.define_flags()


def main() -> None:
    """Trains and compares what the flags ask for."""
    trainings.train_and_compare(combinations(flags.FLAGS.grid, flags.FLAGS.variant))


def combinations(
    axes: Sequence[str], variants: Sequence[str] = ()
) -> list[tuple[str, dict[str, str]]]:
    """Each variant with all combinations of the values of some fields, behind its name.

        >>> combinations(["gnp.r=0.1,0.2"], ["", "opt.groups=() base_lr=1"])
        [('gnp.r=0.1', {'gnp.r': '0.1'}), \
('gnp.r=0.2', {'gnp.r': '0.2'}), \
('opt.groups=() base_lr=1 gnp.r=0.1', {'opt.groups': '()', 'base_lr': '1', 'gnp.r': '0.1'}), \
('opt.groups=() base_lr=1 gnp.r=0.2', {'opt.groups': '()', 'base_lr': '1', 'gnp.r': '0.2'})]

    Args:
      axes: fields with values, as of `--grid`.
      variants: fields with one value each, as of `--variant`; none is one without fields.

    Raises:
      UserError: a field has no value, or is named twice.
    """
    values = {field: _split(text, ",") for field, text in _by_field("--grid", axes).items()}
    found = []
    for variant in variants or [""]:
        fixed = _by_field("--variant", filter(None, _split(variant, " \t\n")))
        for field in fixed.keys() & values.keys():
            raise UserError(f"--variant and --grid both name {field}; leave it out of one.")
        for chosen in itertools.product(*values.values()):
            found.append(fixed | dict(zip(values, chosen, strict=True)))
    return [(" ".join(f"{f}={v}" for f, v in fields.items()), fields) for fields in found]


def _by_field(flag, assignments):
    """What is behind the sign of equality, by field."""
    found = {}
    for assignment in assignments:
        field, _, text = assignment.removeprefix("config.").partition("=")
        if not field or not text:
            raise UserError(f"{flag} has {assignment!r}; write it as {_EXAMPLES[flag]}.")
        if field in found:
            raise UserError(f"{flag} names {field} twice; name each field once.")
        if field in ("seeds", "init_seeds"):
            raise UserError(f"{flag} names {field}; set both seeds by --seeds=0,1,2.")
        found[field] = text
    return found


def _split(text, separators):
    """The parts between the separators that are in no brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character in separators and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


if __name__ == "__main__":
    app.run(main, define_flags)
