"""Writes a trained model in a format that other programs read.

python -m gnp.main.export --run=RUN_FOLDER --format=jax|onnx|safetensors --out=FILE
    [--checkpoint=best|last|STEP|average:N] [--weights=raw|ema]

In the formats jax and onnx the model takes images x height x width x channels, float32 from 0 to
255, any number of them; it normalizes them itself and returns logits. A file of safetensors holds
the variables alone, under timm's names if timm has the model.
"""

import pathlib
from typing import NamedTuple

from absl import flags

from gnp.errors import UserError
from gnp.files import file_to_write, write_atomically
from gnp.main import app
from gnp.main.convert import TIMM_TANH_GELU, as_weights
from gnp.main.run import Run
from gnp.main.saved import saved_run
from gnp.model import exported, torch_file
from gnp.model.timm_weights import is_of_timm, to_timm
from gnp.model.weights import flat_arrays
from gnp.runs.data_file import read_run_data

FORMATS = ("jax", "onnx", "safetensors")


class Exported(NamedTuple):
    """A model as a file holds it.

    Attributes:
      data: the content of the file.
      about: sentences about it.
    """

    data: bytes
    about: str


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    saved_run.define_weights_flag()
    flags.DEFINE_enum("format", None, FORMATS, "The format of the file.")
    flags.DEFINE_string("out", None, "The file to write.")


def main() -> None:
    """Writes the file that the flags name."""
    values = flags.FLAGS
    folder = saved_run.folder_from_flags()
    if not values.format:
        raise UserError(f"--format is missing; choose one of {', '.join(FORMATS)}.")
    out = _checked(values.out, values.format)
    run = Run(folder, saved_run.config_of(folder), values.checkpoint, values.weights)
    content = export(run, values.format)
    replaced = ", in the place of an earlier file" if out.exists() else ""
    write_atomically(out, content.data)
    print(f"{out} holds {run.config.model.model_name} after step {run.step}{replaced}.")
    print(content.about)


def export(run: Run, form: str) -> Exported:
    """A run's model in one of `FORMATS`.

    Raises:
      UserError: the format cannot hold the model, or a library that it needs is not installed.
    """
    names, data = run.class_names, read_run_data(run.folder)
    if form == "safetensors":
        return _as_safetensors(run, data)
    size, channels = run.config.dataset.image_size, run.config.dataset.num_channels
    shape = (size, size, channels)
    about = (
        f"It takes images x {size} x {size} x {channels}, float32 from 0 to 255, and returns the "
        f"logits of {len(names)} classes."
    )
    model, variables = run.model, run.variables
    if form == "onnx":
        model, variables = exported.in_float32(model, variables)
    function = exported.classifier(model, variables, data.mean, data.std)
    if form == "jax":
        return Exported(exported.as_jax(function, shape), about)
    return Exported(exported.as_onnx(function, shape, names), f"{about} It computes in float32.")


def _as_safetensors(run, data):
    weights = as_weights(run.config, run.variables, data.class_names)
    is_timms = is_of_timm(weights)
    arrays = to_timm(weights) if is_timms else flat_arrays(weights)
    texts = {"classes": data.class_names, "mean": data.mean, "std": data.std}
    names = "timm's" if is_timms else "our own"
    about = (
        f"Its tensors have {names} names. It normalizes nothing: "
        "divide images by 255, subtract the mean and divide by the deviation; the metadata has "
        "both, and the classes."
    )
    if is_timms and getattr(weights.model(), "approximate_gelu", False):
        about += f" It uses the tanh form of GELU; set the same in timm's model:\n{TIMM_TANH_GELU}"
    return Exported(torch_file.as_safetensors(arrays, texts), about)


def _checked(out, form):
    """The file to write; its folder exists."""
    if not out:
        raise UserError("--out is missing; name the file to write.")
    out = pathlib.Path(out)
    others = [f".{name}" for name in FORMATS if name != form]
    if out.suffix in others:
        raise UserError(
            f"--out is {out}, but --format is {form}; name a file such as model.{form}."
        )
    return file_to_write(out, "--out")


if __name__ == "__main__":
    app.run(main, define_flags)
