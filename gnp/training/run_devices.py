"""The devices that a run began on: its perturbation groups stay, whatever it resumes on."""

import dataclasses
import logging
import pathlib
from typing import Any, NamedTuple

import jax

from gnp.errors import UserError, reason
from gnp.files import json_text, read_json, write_atomically
from gnp.runs.folder import SUMMARY_FILE
from gnp.training import parallel
from gnp.training.checkpoints.saved_variables import find_checkpoints
from gnp.training.perturbation_groups import plan_groups
from gnp.training.settings.perturbation_groups import depend_on_devices, read_groups
from gnp.training.settings.run import Settings

DEVICES_FILE = "devices.json"

_GROUP_SIZE = "gnp.perturbation_batch"

_log = logging.getLogger(__name__)


class RunDevices(NamedTuple):
    """What a run began on.

    Attributes:
      num_devices: over all processes.
      perturbation_batch: images of a perturbation group.
    """

    num_devices: int
    perturbation_batch: int


def fields_to_choose(config: Any, folder: pathlib.Path) -> tuple[str, ...]:
    """The fields that an unfinished run may set now, though it began without them.

    That is the size of perturbation groups, where the devices that there are cannot form those of
    before.

    Args:
      config: the resolved config.
      folder: the run's folder, which may not exist.

    Raises:
      UserError: `devices.json` is damaged.
    """
    if config.retrain or config.gnp.perturbation_batch is None or _is_finished(folder):
        return ()
    began = _read(folder / DEVICES_FILE)
    if began is None:
        return ()
    try:
        plan_groups(
            batch_size=config.batch_size,
            num_devices=jax.device_count(),
            accumulation_steps=config.gradient_accumulation_steps,
            perturbation_batch=began.perturbation_batch,
        )
    except UserError:
        return (_GROUP_SIZE,)
    return ()


def with_groups_of_run(settings: Settings, config: Any, folder: pathlib.Path) -> Settings:
    """The settings with the perturbation groups that the run began with.

    Every process must call it. The first one writes `devices.json` into the folder of a new run.

    Args:
      settings: what the config asks for on the devices there are.
      config: the resolved config.
      folder: the run's folder; it exists.

    Raises:
      UserError: `devices.json` is damaged, or the devices cannot form these groups.
    """
    has_begun = bool(find_checkpoints(folder))
    began = _read(folder / DEVICES_FILE) if has_begun else None
    parallel.barrier("devices of the run")  # all have read what the first one may write
    if began is None:
        if has_begun:
            _log.info("The run does not say on how many devices it began; taken to be as many.")
        _write(folder / DEVICES_FILE, RunDevices(jax.device_count(), _group_size(settings)))
    elif began.num_devices != jax.device_count():
        if depend_on_devices(config):
            standard, penalized = _groups(settings, config, began, folder)
            settings = dataclasses.replace(
                settings, standard_groups=standard, penalized_groups=penalized
            )
        _warn(began, settings)
    return settings


def _is_finished(folder):
    return (folder / SUMMARY_FILE).exists()


def _group_size(settings):
    return settings.penalized_groups.size(settings.batch_size, jax.device_count())


def _groups(settings, config, began, folder):
    try:
        return read_groups(config, jax.device_count(), began.perturbation_batch)
    except UserError as error:
        if _is_finished(folder):  # there is nothing to train
            return settings.standard_groups, settings.penalized_groups
        raise UserError(
            f"The run began with {began.num_devices} devices and without gnp.perturbation_batch, "
            f"so {began.perturbation_batch} images share a perturbation, which the "
            f"{jax.device_count()} devices here cannot form; resume with {began.num_devices}, or "
            f"choose other groups for the steps to come by --resume={folder} and "
            f"--config.{_GROUP_SIZE}."
        ) from error


def _warn(began, settings):
    if jax.process_index() == 0:
        _log.warning(
            "The run began with %d devices and resumes with %d, which changes its numbers: groups "
            "that share a perturbation had %d images and have %d, batch norm takes the statistics "
            "of the %d images of a device, and each device has random numbers of its own.",
            began.num_devices,
            jax.device_count(),
            began.perturbation_batch,
            _group_size(settings),
            settings.batch_size // jax.device_count(),
        )


def _read(file):
    if not file.exists():  # of an older version
        return None
    content = read_json(file)
    try:
        began = RunDevices(**content)
    except TypeError as error:
        raise UserError(f"{file} is damaged ({error}); fix or remove it.") from error
    if not all(type(number) is int and number > 0 for number in began):
        raise UserError(f"{file} is damaged (it holds {content}); fix or remove it.")
    return began


def _write(file, devices):
    if jax.process_index() != 0:
        return
    try:
        write_atomically(file, json_text(devices._asdict()))
    except (OSError, UserError) as error:
        _log.warning(
            "%s cannot be written (%s); on another number of devices the run would resume with "
            "other perturbation groups.",
            file,
            reason(error),
        )
