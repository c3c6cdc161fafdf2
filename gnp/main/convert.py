"""Converts weights between this project and PyTorch files of timm's models.

python -m gnp.main.convert --input=deit_tiny.pth --model=ViT_TI16 --output=vit_ti16.npz
python -m gnp.main.convert --input=RUN_FOLDER --output=ours.safetensors

The suffix decides the format: .npz is ours; .pth, .pt, .bin and .safetensors are timm's. The folder
of a run stands for its newest checkpoint.
"""

import contextlib
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from gnp.errors import CannotWriteError, UserError, reason
from gnp.files import make_folder
from gnp.main import app
from gnp.main.config import load_config
from gnp.main.saved.trained_variables import read_trained
from gnp.main.start.build import model_params
from gnp.main.start.own_parts import import_modules
from gnp.model import torch_file
from gnp.model.timm_weights import from_timm, to_timm
from gnp.model.weights import Weights, load_weights, save_weights
from gnp.runs.folder import CONFIG_FILE

_log = logging.getLogger("gnp.main.convert")  # __name__ is __main__ in the command

_OUR_SUFFIX = ".npz"
# Sets the tanh form of GELU in a model of timm; not every family takes act_layer.
TIMM_TANH_GELU = """
for module in model.modules():
    if isinstance(module, timm.layers.Mlp):
        module.act = timm.layers.GELUTanh()
"""


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("input", None, "A file of weights, or the folder of a run.")
    flags.DEFINE_string("output", None, "The file to write.")
    flags.DEFINE_string("model", None, "Our model with the same layers as timm's file.")
    flags.DEFINE_bool(
        "tanh_gelu", False, "timm's model uses the tanh form of GELU, which its file does not say."
    )


def main() -> None:
    """Converts the file or the run that the flags name."""
    values = flags.FLAGS
    if not values.input or not values.output:
        raise UserError("--input=FILE and --output=FILE are both needed.")
    source, target = pathlib.Path(values.input), pathlib.Path(values.output)
    _check_suffix(target)
    make_folder(target.parent, "--output")
    weights = _read(source, values.model, values.tanh_gelu)
    _write(target, weights)
    print(f"{target} holds {_described(weights)}")
    if target.suffix != _OUR_SUFFIX and getattr(weights.model(), "approximate_gelu", False):
        print(f"It uses the tanh form of GELU; set the same in timm's model:\n{TIMM_TANH_GELU}")


def _write(target, weights):
    """Writes the file, whole or not at all."""
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        if target.suffix == _OUR_SUFFIX:
            save_weights(temporary, weights)
        else:
            torch_file.write(temporary, to_timm(weights))
        os.replace(temporary, target)
    except UserError:
        raise
    except Exception as error:  # the libraries' own, too, if the disk is full
        cause = error if isinstance(error, OSError) else OSError(reason(error))
        raise CannotWriteError(target, cause) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _described(weights):
    params = "".join(f", {field}={value!r}" for field, value in weights.model_params.items())
    shape = "x".join(map(str, weights.image_shape))
    call = f"create_model({weights.name!r}, num_outputs={weights.num_outputs}{params})"
    return f"{call} for images of {shape}."


def _read(source, model_name, tanh_gelu):
    if source.is_dir():
        return weights_of_run(source)
    _check_suffix(source)
    if source.suffix == _OUR_SUFFIX:
        return load_weights(source)
    if not model_name:
        raise UserError(
            "--model is missing; name our model with the same layers, such as --model=ViT_TI16."
        )
    return from_timm(torch_file.read(source), model_name, approximate_gelu=tanh_gelu)


def weights_of_run(folder: pathlib.Path) -> Weights:
    """The weights in the newest checkpoint of a run: moving averages if `best_metric` is theirs.

    Raises:
      UserError: the folder is not that of a run, or it has no checkpoint.
    """
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder} is not the folder of a run: it has no {CONFIG_FILE}.")
    config = load_config(str(folder / CONFIG_FILE))
    import_modules(config)
    trained = read_trained(folder)
    if trained.is_average:
        _log.warning("These are the moving averages, as best_metric is %s.", config.best_metric)
    return as_weights(config, trained.variables, trained.class_names)


def as_weights(
    config: Any, variables: Mapping[str, Any], class_names: Sequence[str] | None
) -> Weights:
    """The model that a config names, with these variables."""
    size, channels = config.dataset.image_size, config.dataset.num_channels
    return Weights(
        name=config.model.model_name,
        num_outputs=config.dataset.num_classes,
        image_shape=(size, size, channels),
        model_params=model_params(config.to_dict()),
        variables={name: tree for name, tree in variables.items() if tree},
        class_names=class_names,
    )


def _check_suffix(path):
    known = (_OUR_SUFFIX, *torch_file.SUFFIXES)
    if path.suffix not in known:
        raise UserError(
            f"{path} has none of the suffixes {', '.join(known)}; choose the one of its format."
        )


if __name__ == "__main__":
    app.run(main, define_flags)
