"""The file data.json of a run: its classes, images, normalization and label noise."""

import logging
import pathlib
from typing import Any, NamedTuple

from gnp.errors import UserError
from gnp.files import json_text, read_json, write_atomically

DATA_FILE = "data.json"

_log = logging.getLogger(__name__)


class RunData(NamedTuple):
    """The data of a run.

    Attributes:
      class_names: in the order of the labels.
      mean, std: normalization constants per channel, on the scale 0 to 1.
      label_noise: the record of `gnp.ds_pipeline.labels.label_noise.summary`; None without noise.
      num_train_images, num_eval_images: over all processes; None in files of older versions.
      train_fingerprint, eval_fingerprint: see `gnp.ds_pipeline.fingerprint`; None in files of older
        versions.
    """

    class_names: list[str]
    mean: list[float]
    std: list[float]
    label_noise: dict[str, Any] | None = None
    num_train_images: int | None = None
    num_eval_images: int | None = None
    train_fingerprint: str | None = None
    eval_fingerprint: str | None = None

    @property
    def is_of_older_version(self) -> bool:
        """Whether it lacks what later versions record."""
        return self.train_fingerprint is None

    def check_classes(self, class_names: list[str]) -> None:
        """Checks that a data set has the run's classes.

        Raises:
          UserError: the names or their number differ.
        """
        if len(class_names) != len(self.class_names):
            raise UserError(
                f"The data set has {len(class_names)} classes, but the run was trained with "
                f"{len(self.class_names)}; choose data of the same classes."
            )
        for label, (name, ours) in enumerate(zip(class_names, self.class_names, strict=True)):
            if name != ours:
                raise UserError(
                    f"Class {label} is {name!r} in the data set, but the run was trained with "
                    f"{ours!r}; choose data of the same classes with the same names."
                )

    def changes(self, now: "RunData") -> list[str]:
        """What is different in the data `now`, in words; what is not recorded is not compared."""
        found = [_first_change_of_classes(self.class_names, now.class_names)]
        for name, count, count_now, hashed, hashed_now in (
            (
                "training",
                *(self.num_train_images, now.num_train_images),
                *(self.train_fingerprint, now.train_fingerprint),
            ),
            (
                "evaluation",
                *(self.num_eval_images, now.num_eval_images),
                *(self.eval_fingerprint, now.eval_fingerprint),
            ),
        ):
            if count not in (None, count_now):
                found.append(f"the {name} set has {count_now} images now, {count} when it began")
            elif hashed not in (None, hashed_now):
                found.append(f"the {name} set has as many images, but others or with other labels")
        if self.label_noise != now.label_noise:
            found.append(f"label noise is {now.label_noise} now, {self.label_noise} when it began")
        return [change for change in found if change]


def _first_change_of_classes(began, now):
    if len(began) != len(now):
        return f"there are {len(now)} classes now, {len(began)} when it began"
    for label, (name, name_now) in enumerate(zip(began, now, strict=True)):
        if name != name_now:
            return f"class {label} is {name_now!r} now, {name!r} when it began"
    return ""


def run_data_of(source: Any) -> RunData:
    """The data of a `gnp.ds_pipeline.source.DataSource`."""
    fingerprints = source.fingerprints or {}
    return RunData(
        list(source.class_names),
        list(source.mean),
        list(source.std),
        source.label_noise,
        source.num_train_images,
        source.num_eval_images,
        fingerprints.get("train"),
        fingerprints.get("eval"),
    )


def check_same_data(folder: pathlib.Path, began: RunData, now: RunData) -> None:
    """Checks that the data of a run are those that it began with.

    Raises:
      UserError: they are others; says what changed.
    """
    if changes := began.changes(now):
        raise UserError(
            f"The data are not those that the run in {folder} began with: {'; '.join(changes)}. "
            "Restore the data, or set another --working_dir, or --config.retrain=True to delete "
            "that run and start over."
        )


def write_run_data(folder: pathlib.Path, data: RunData) -> None:
    """Writes `data.json` into the folder of a run."""
    content = {name: value for name, value in data._asdict().items() if value is not None}
    write_atomically(folder / DATA_FILE, json_text(content))


def read_run_data(folder: pathlib.Path) -> RunData | None:
    """Reads `data.json`; None if it does not exist, as in runs of older versions.

    Raises:
      UserError: the file is damaged.
    """
    file = folder / DATA_FILE
    if not file.exists():
        return None
    try:
        data = RunData(**read_json(file))
        _check(data)
        return data
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} is damaged ({error}); fix or remove it.") from error


def _check(data):
    """Raises a ValueError for values that no run has written."""
    lists = {"class_names": str, "mean": (int, float), "std": (int, float)}
    for name, kind in lists.items():
        values = getattr(data, name)
        is_list = isinstance(values, list) and all(isinstance(value, kind) for value in values)
        if not is_list or not values:
            raise ValueError(f"{name} is {str(values)[:80]}")
    if len(data.mean) != len(data.std) or not all(value > 0 for value in data.std):
        raise ValueError(f"mean is {data.mean} and std is {data.std}")
    kinds = {"label_noise": dict, "num_train_images": int, "num_eval_images": int}
    for name, kind in (kinds | {"train_fingerprint": str, "eval_fingerprint": str}).items():
        value = getattr(data, name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{name} is {str(value)[:80]}")
