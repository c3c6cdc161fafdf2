"""Converts weights between this project and PyTorch files of timm's models.

python -m gnp.main.convert --input=deit_tiny.pth --model=ViT_TI16 --output=vit_ti16.npz
python -m gnp.main.convert --input=RUN_FOLDER --output=ours.safetensors

The suffix says whose a file is: .npz ours; .pth, .pt, .bin and .safetensors timm's. A run's folder
stands for its newest checkpoint.
"""

import pathlib

from absl import flags

from gnp.errors import UserError
from gnp.files import make_folder, read_json
from gnp.main import app
from gnp.main.build import model_params
from gnp.model import torch_file
from gnp.model.timm_weights import from_timm, to_timm
from gnp.model.weights import Weights, load_weights, save_weights
from gnp.runs.folder import CONFIG_FILE
from gnp.training.saved_variables import read_newest_variables

_INPUT = flags.DEFINE_string("input", None, "A file of weights, or the folder of a run.")
_OUTPUT = flags.DEFINE_string("output", None, "The file to write.")
_MODEL = flags.DEFINE_string("model", None, "Our model of the geometry of timm's file.")
_TANH_GELU = flags.DEFINE_bool(
    "tanh_gelu", False, "timm's model has the tanh form of GELU; its file does not tell."
)

_OUR_SUFFIX = ".npz"
# Gives the tanh form of GELU to a model of timm; act_layer is not taken by every family.
TIMM_TANH_GELU = """
for module in model.modules():
    if isinstance(module, timm.layers.Mlp):
        module.act = timm.layers.GELUTanh()
"""


def main() -> None:
    """Converts what the flags name."""
    if not _INPUT.value or not _OUTPUT.value:
        raise UserError("--input=FILE and --output=FILE are both needed.")
    source, target = pathlib.Path(_INPUT.value), pathlib.Path(_OUTPUT.value)
    _check_suffix(target, (_OUR_SUFFIX, *torch_file.SUFFIXES))
    make_folder(target.parent, "--output")
    weights = _read(source)
    if target.suffix == _OUR_SUFFIX:
        save_weights(target, weights)
    else:
        torch_file.write(target, to_timm(weights))
    print(f"{target} holds {_described(weights)}")
    if target.suffix != _OUR_SUFFIX and getattr(weights.model(), "approximate_gelu", False):
        print(f"Its GELU is the tanh form; give timm's model the same:\n{TIMM_TANH_GELU}")


def _described(weights):
    params = "".join(f", {field}={value!r}" for field, value in weights.model_params.items())
    shape = "x".join(map(str, weights.image_shape))
    call = f"create_model({weights.name!r}, num_outputs={weights.num_outputs}{params})"
    return f"{call} for images of {shape}."


def _read(source):
    if source.is_dir():
        return weights_of_run(source)
    _check_suffix(source, (_OUR_SUFFIX, *torch_file.SUFFIXES))
    if source.suffix == _OUR_SUFFIX:
        return load_weights(source)
    if not _MODEL.value:
        raise UserError(
            "--model is missing; name our model of the file's geometry, such as --model=ViT_TI16."
        )
    return from_timm(torch_file.read(source), _MODEL.value, approximate_gelu=_TANH_GELU.value)


def weights_of_run(folder: pathlib.Path) -> Weights:
    """The weights in the newest checkpoint of a run.

    Raises:
      UserError: the folder is not a run's or holds no checkpoint.
    """
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder} is not the folder of a run: it holds no {CONFIG_FILE}.")
    config = read_json(folder / CONFIG_FILE)
    dataset = config["dataset"]
    variables = read_newest_variables(folder)
    size, channels = dataset["image_size"], dataset["num_channels"]
    return Weights(
        name=config["model"]["model_name"],
        num_outputs=dataset["num_classes"],
        image_shape=(size, size, channels),
        model_params=model_params(config),
        variables={name: tree for name, tree in variables.items() if tree},
    )


def _check_suffix(path, known):
    if path.suffix not in known:
        raise UserError(f"{path} has none of the suffixes {', '.join(known)}; name it by its kind.")


if __name__ == "__main__":
    app.run(main)
