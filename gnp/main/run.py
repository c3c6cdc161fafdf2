"""A run as Python code uses it: its model, config, metrics and predictions; and training one."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
from flax import linen as nn

from gnp.ds_pipeline.build import filled_in
from gnp.ds_pipeline.datasets import from_python
from gnp.ds_pipeline.images.eval_image import EvalImage
from gnp.errors import UserError
from gnp.files import read_json
from gnp.main import main
from gnp.main.config import as_config, changed, load_config
from gnp.main.saved import saved_run
from gnp.main.saved.chosen_checkpoint import is_average, read_run_variables
from gnp.main.saved.predictor import Predictions, Predictor
from gnp.main.start import xla
from gnp.main.start.build import as_run_did, build_model
from gnp.main.start.own_parts import import_modules
from gnp.model.transfer import take_variables
from gnp.model.weights import variable_shapes
from gnp.runs.data_file import DATA_FILE, RunData, read_run_data
from gnp.runs.folder import CONFIG_FILE, METRICS_FILE, SUMMARY_FILE
from gnp.runs.metrics import by_step, read_metrics_if_any
from gnp.training.interrupt import Interrupted


class Run:
    """A trained model with all that its run has left. `load_run` and `train` return it.

    >>> run.step, run.config.batch_size
    (1, 64)

    Attributes:
      folder: of the run.
      config: all fields.
      model: the classifier, a Flax module, called as `model.apply(variables, images, train=False)`.
      variables: its `params` and `batch_stats`, as numpy arrays.
      step: of the checkpoint that they are from.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        config: ml_collections.FrozenConfigDict,
        checkpoint: str = "best",
        weights: str | None = None,
    ):
        """Reads a checkpoint.

        Args:
          folder: of the run.
          config: its config.
          checkpoint, weights: as of `load_run`.
        """
        self.folder = folder
        self.config = config
        self.model: nn.Module = build_model(config)
        size, channels = config.dataset.image_size, config.dataset.num_channels
        shapes = variable_shapes(self.model, (size, size, channels))
        ema = is_average(config, weights)
        saved, self.step = read_run_variables(folder, config, checkpoint, ema=ema)
        origin = f"The checkpoint of step {self.step} in {folder}"
        self.variables: Mapping[str, Any]
        self.variables = take_variables(shapes, saved, set(), origin).variables

    def __repr__(self) -> str:
        return f"<Run {self.folder}, step {self.step}>"

    @property
    def class_names(self) -> list[str]:
        """In the order of the model's outputs.

        >>> run.class_names[:3]
        ['0', '1', '2']
        """
        return self._data.class_names

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """What the run has recorded, one row per step, as `pandas.DataFrame` takes it.

        The first column is `step`. A row has nan where nothing was recorded.

        >>> run.metrics["eval/error_rate"].shape
        (1,)
        """
        return by_step(read_metrics_if_any(self.folder / METRICS_FILE))

    @property
    def summary(self) -> dict[str, Any] | None:
        """What `summary.json` holds; None while the run is not finished.

        >>> run.summary["steps"]
        1
        """
        file = self.folder / SUMMARY_FILE
        return read_json(file) if file.exists() else None

    def predict(self, images: Any) -> Predictions:
        """The probabilities of the classes of some images, computed on all devices.

        An image is prepared as in the evaluation of the run: turned upright, converted to gray or
        RGB, made a square of the model's size and normalized.

        >>> images = np.zeros((2, 8, 8, 1), np.uint8)
        >>> run.predict(images).probabilities.shape
        (2, 10)

        Args:
          images: a list; each is a path, an image of Pillow, or bytes (uint8) of height x width x
            channels. An array of images x height x width x channels is such a list, a single path
            or image of Pillow a list of one.

        Raises:
          UserError: an image cannot be used; names it and says why.
        """
        return self.predictor(images)

    @functools.cached_property
    def predictor(self) -> Predictor:
        """What `predict` calls.

        Raises:
          UserError: the run has no `data.json`.
        """
        data = self._data
        return Predictor(
            self.model,
            self.variables,
            EvalImage.from_config(as_run_did(self.config, data).dataset, data.mean, data.std),
            data.class_names,
            self.config.batch_size,
            is_yes_or_no=self.config.loss == "binary_cross_entropy",
        )

    @functools.cached_property
    def _data(self) -> RunData:
        data = read_run_data(self.folder)
        if data is None:
            raise UserError(
                f"{self.folder} has no {DATA_FILE}, which names the classes and normalizes the "
                "images; the command that trained the run writes it."
            )
        return data


def load_run(
    path: str | os.PathLike, checkpoint: str = "best", *, weights: str | None = None
) -> Run:
    """A run that was trained by `train` or by the command `gnp train`.

    >>> gnp.load_run(run.folder, checkpoint="last").step
    1

    Args:
      path: its folder.
      checkpoint: `best`, `last`, a step, or `average:N`, the mean of the last N.
      weights: `raw`, the parameters as training left them, or `ema`, their moving average; None:
        those that `best_metric` of the run measures.

    Raises:
      UserError: there is no such run or checkpoint, or it is damaged.
    """
    xla.use_all_cores()
    folder = saved_run.folder_of_run(path)
    return Run(folder, load_config(str(folder / CONFIG_FILE)), str(checkpoint), weights)


def train(
    config: Any, working_dir: str | os.PathLike, source: Mapping[str, Any] | None = None
) -> Run:
    """Trains what a config asks for, as the command `gnp train` does, and resumes likewise.

    >>> fields = {"total_epochs": 1, "dataset.num_train_images": 64}
    >>> run = gnp.train(gnp.load_config("digits", fields), "runs")
    Test error ... after 1 steps ...
    Curves: ...

    Args:
      config: of `load_config`; or its name or file; or fields with values, a dictionary or a
        `ConfigDict`, over the defaults.
      working_dir: the folder that runs are put into.
      source: images of your own, `{"train": …, "test": …, "class_names": […]}`, in the place of the
        data set that the config names; None: that one. A part is anything with `len` and
        `[i] -> image, label`, such as a list, a dataset of PyTorch or a source of Grain; or
        `(images, labels)`, two arrays. An image is a path, the bytes of a file, an image of Pillow
        or uint8 of height x width [x channels]; a label is the number of a class, from 0, or
        with dataset.multi_label a row of 0 and 1 over the classes. Without names the classes are
        numbered.

    Returns:
      The run, with its best checkpoint.

    Raises:
      UserError: a field has a bad value, or the data do not fit it.
      TrainingError: training cannot continue, such as after a loss that is not finite.
      NotSavedError: the run is trained to its end, but a file cannot be written.
      KeyboardInterrupt: it was asked to stop. Its state is saved; the same call resumes.
    """
    config = as_config(config)
    if source is not None:
        config = changed(config, {"dataset.dataset_name": from_python.NAME})
    xla.use_all_cores()
    import_modules(config)
    try:
        with from_python.given(source) if source is not None else contextlib.nullcontext():
            folder = main.run(config, pathlib.Path(working_dir))
            config = filled_in(config)
    except Interrupted as stop:  # which would end Python
        raise KeyboardInterrupt(str(stop)) from None
    kept = folder / CONFIG_FILE
    return Run(folder.absolute(), load_config(str(kept)) if kept.exists() else config)
