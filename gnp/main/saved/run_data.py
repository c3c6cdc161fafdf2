"""The data that a run trains on: those that it began with."""

import hashlib
import logging
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils

from gnp.ds_pipeline.settings import PHOTO_SETS
from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError
from gnp.main.config import default_config
from gnp.main.start.build import build_run_source
from gnp.runs.data_file import (
    DATA_FILE,
    check_same_data,
    read_run_data,
    run_data_of,
    write_run_data,
)
from gnp.training.checkpoints import checkpoint_files
from gnp.training.checkpoints.saved_variables import find_checkpoints

_log = logging.getLogger(__name__)


def source_of_run(config: Any, folder: pathlib.Path) -> DataSource:
    """The data source of a run. Its images are normalized as when the run began.

    Every process must call it. The first one writes `data.json` into the folder of a new run.

    Args:
      config: the resolved config.
      folder: the run's folder; it exists.

    Raises:
      UserError: the data cannot be read, or are not those that the run began with, or differ
        between processes.
    """
    has_begun = bool(find_checkpoints(folder))
    began = read_run_data(folder) if has_begun else None
    source = build_run_source(config, folder, trained_on=began)
    now = run_data_of(source)
    _check_processes_agree(now)
    if began is not None:
        check_same_data(folder, began, now)
    if has_begun and (began is None or began.is_of_older_version):
        _check_steps(folder, config, now)
    if jax.process_index() == 0 and (began is None or began.is_of_older_version):
        if has_begun:
            _log.warning(
                "%s does not say how many images the run began with, and which; those that there "
                "are now are taken to be the same and added.",
                folder / DATA_FILE,
            )
        write_run_data(folder, now)
    return source


def defaults_of_older_runs(config: Any) -> ml_collections.ConfigDict:
    """The values of fields that the `config.json` of an older version lacks.

    They are the defaults, unless runs did otherwise before the field existed.
    """
    defaults = default_config()
    defaults.dataset.update(num_classes=10, num_channels=3)
    if config.dataset.dataset_name in PHOTO_SETS:
        defaults.dataset.antialias = False
    return defaults


def _check_steps(folder, config, now):
    """Of a run that does not say how many images it began with, the steps can contradict."""
    for checkpoint in find_checkpoints(folder):
        try:
            position = checkpoint_files.as_position(checkpoint_files.read_position(checkpoint))
        except checkpoint_files.DamagedError:
            continue  # which is said where checkpoints are opened
        steps = max(now.num_train_images // config.batch_size, 1)
        last = config.total_epochs * steps
        if position.step > last or position.evaluated_step % steps:
            raise UserError(
                f"The data are not those that the run in {folder} began with: with "
                f"{now.num_train_images} training images it would have {steps} steps in an epoch "
                f"and {last} in all, but it has taken {position.step} and was evaluated after "
                f"{position.evaluated_step}. Restore the data, or set --config.retrain=True to "
                "delete that run and start over."
            )


def _check_processes_agree(data):
    """Each process reads its own files. Whether they are the same shows before the first step."""
    if jax.process_count() == 1:
        return
    text = f"{data.class_names}{data.train_fingerprint}{data.eval_fingerprint}"
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    digests = multihost_utils.process_allgather(digest)
    others = [index for index, other in enumerate(digests) if not np.array_equal(other, digests[0])]
    if others:
        raise UserError(
            f"Process {others[0]} reads other images or labels than process 0; give all processes "
            "the same data."
        )
