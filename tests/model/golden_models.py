"""Models with the golden parameter values, and what they compute."""

import functools
import pathlib

import jax
import numpy as np
import optax
from flax import traverse_util

from gnp.model import create_model, model_names
from tests.golden import fill

FOLDER = pathlib.Path(__file__).parents[1] / "golden" / "models"
NAMES = [name for name in model_names() if (FOLDER / f"{name}.npz").exists()]
# A leaf whose name is not here has the role 'other'.
ROLES = {"scale": "scale", "var": "var", "relative_position_bias_table": "table"}

# Of the models whose name does not say all: what tests give them.
BARE = {
    "PyramidNetBase": {"pyramid_depth": 11, "pyramid_alpha": 12},
    "ViTBase": {
        "patches": {"size": 8},
        "hidden_size": 16,
        "transformer": {"mlp_dim": 24, "num_heads": 2, "num_layers": 1},
    },
}
# Models that are made for another size than 32.
IMAGE_SIZES = {"Swin_Tiny_224": 224}


@functools.cache
def golden(name):
    """The golden file of a model, a dictionary of arrays."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def shapes(model, image_size, channels=3):
    """The model's variables as shapes and types."""
    images = jax.ShapeDtypeStruct((2, image_size, image_size, channels), np.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(functools.partial(model.init, train=False), key, images)


def filled(variables):
    """The same tree with the golden values."""
    flat = traverse_util.flatten_dict(variables)
    return traverse_util.unflatten_dict(
        {path: fill.fill_leaf(x.shape, ROLES.get(path[-1], "other")) for path, x in flat.items()}
    )


class Computed:
    """What a model computes from the golden values."""

    def __init__(self, name, with_values=True, **model_params):
        self.golden = golden(name)
        self.size, self.classes = int(self.golden["image_size"]), int(self.golden["num_classes"])
        self.model = create_model(name, num_outputs=self.classes, **model_params)
        self.shapes = shapes(self.model, self.size)
        self.variables = filled(self.shapes) if with_values else None
        self.images = fill.images(2, self.size)

    def eval_logits(self):
        return jax.jit(functools.partial(self.model.apply, train=False))(
            self.variables, self.images
        )

    def loss_and_gradient(self):
        """Cross entropy in the golden file's mode; its aux: logits and new statistics."""
        train = str(self.golden["grad_mode"]) == "train"
        labels = fill.labels(2, self.classes)

        def loss(params):
            logits, new = self.model.apply(
                {**self.variables, "params": params},
                self.images,
                train=train,
                mutable=["batch_stats"],
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), (logits, new.get("batch_stats", {}))

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(self.variables["params"])

    def train_logits(self):
        """Logits and new statistics in training mode."""
        return jax.jit(functools.partial(self.model.apply, train=True, mutable=["batch_stats"]))(
            self.variables, self.images
        )
