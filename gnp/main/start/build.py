"""What a config names, built."""

import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import linen as nn

from gnp.ds_pipeline import build as data
from gnp.ds_pipeline.settings import PHOTO_SETS
from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError, unknown_name
from gnp.main.fields.values import shown
from gnp.main.start.own_parts import import_modules, is_ours, try_model
from gnp.model import create_model, model_names
from gnp.runs.data_file import RunData

# What compute_dtype names, as a model's dtype; None: that of inputs and parameters, float32.
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}

_log = logging.getLogger(__name__)


def check_names(config: Any) -> None:
    """Makes sure that what a config names exists, before anything is computed.

    Raises:
      UserError: a name is unknown; lists those that are known.
    """
    import_modules(config)
    dataset = config.dataset
    for field, name, known in (
        ("model.model_name", config.model.model_name, model_names()),
        ("dataset.dataset_name", dataset.dataset_name, data.source_names()),
        (
            "dataset.image_level_augmentations",
            dataset.image_level_augmentations,
            data.image_level_names(),
        ),
        (
            "dataset.batch_level_augmentations",
            dataset.batch_level_augmentations,
            data.batch_level_names(),
        ),
    ):
        if name not in known:
            raise unknown_name(field, name, known)


def build_model(config: Any) -> nn.Module:
    """The classifier that a config names.

    Raises:
      UserError: the model, its module or one of its parameters is unknown or of another kind, or
        a user's own model fails.
    """
    import_modules(config)
    config = data.filled_in(config)
    params = model_params(config.to_dict())
    if config.compute_dtype not in DTYPES:
        raise unknown_name("compute_dtype", config.compute_dtype, DTYPES)
    if DTYPES[config.compute_dtype] is not None:
        params.setdefault("dtype", DTYPES[config.compute_dtype])
    model = create_model(config.model.model_name, config.dataset.num_classes, **params)
    if config.modules or config.model.model_module or not is_ours(type(model)):
        try_model(config.model.model_name, model, config.dataset)
    return model


def model_params(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the model's constructor that a config sets, but for the type it computes in.

    Args:
      config: all fields, as `config.json` holds them.

    Raises:
      UserError: the number of classes is among them.
    """
    params = dict(config["model"]["model_params"])
    if "num_outputs" in params:
        raise UserError(
            f"model.model_params.num_outputs is {shown(params['num_outputs'])}, but a model has as "
            "many outputs as there are classes; set dataset.num_classes."
        )
    if config.get("use_additional_skip_connections_in_wrn"):
        params["use_additional_skip_connections"] = True
    return params


def build_run_source(
    config: Any,
    run_dir: pathlib.Path | None = None,
    *,
    trained_on: RunData | None = None,
    evaluate_on_train: bool = False,
) -> DataSource:
    """This process's part of the data set that a config names.

    Args:
      config: the resolved config.
      run_dir: the folder of the run to train, where decoded images and the names of bad ones are
        kept; None: nothing is trained.
      trained_on: what a model that is there already knows; images are normalized alike. If nothing
        is trained, the training images may be missing.
      evaluate_on_train: make the training images the evaluation set: each once, not augmented.

    Raises:
      UserError: the data set is unknown, or does not fit the config or what was trained on.
    """
    if trained_on:
        config = as_run_did(config, trained_on)
    source = data.build_source(
        config,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        run_dir=run_dir,
        normalization=trained_on and (trained_on.mean, trained_on.std),
        evaluate_on_train=evaluate_on_train,
        evaluate_as=trained_on.class_names if trained_on and run_dir is None else None,
    )
    if trained_on and run_dir is None:
        trained_on.check_classes(source.class_names)
        if not evaluate_on_train:
            _name_other_images(source, trained_on)
    return source


def as_run_did(config: Any, trained_on: RunData) -> Any:
    """The config without fields that change the images and did not exist when the run began."""
    is_affected = config.dataset.dataset_name in PHOTO_SETS and config.dataset.antialias
    if not (trained_on.is_of_older_version and is_affected):
        return config
    _log.warning(
        "The run began before there was dataset.antialias; its photos are read without it."
    )
    changed = ml_collections.ConfigDict(config.to_dict())
    changed.dataset.antialias = False
    return changed


def _name_other_images(source, trained_on):
    own, now = trained_on.eval_fingerprint, (source.fingerprints or {}).get("eval")
    if None not in (own, now) and own != now:
        _log.warning(
            "The %d evaluation images are not the %d that the run was evaluated on while it "
            "trained, or have other labels.",
            source.num_eval_images,
            trained_on.num_eval_images,
        )
