"""Assigns images and random numbers to the steps of each process."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from gnp.batch_size import steps_per_epoch
from gnp.ds_pipeline import partition, rng, source
from gnp.ds_pipeline.augment import batch_level
from gnp.ds_pipeline.fingerprint import fingerprint
from gnp.ds_pipeline.labelled_data import LabelledData, images_per_class
from gnp.ds_pipeline.labels import class_balance, label_noise
from gnp.ds_pipeline.settings import Settings


class Plan:
    """The steps of training and evaluation as small arrays of indices and sampled augmentations.

    Args:
      settings: of the pipeline.
      num_train_images, num_eval_images: over all processes.
      train_labels: int64, of the training images; needed for balanced sampling alone.

    Raises:
      UserError: the batch size does not fit the data or the number of processes.
    """

    def __init__(
        self,
        settings: Settings,
        num_train_images: int,
        num_eval_images: int,
        train_labels: np.ndarray | None = None,
    ):
        self._settings = settings
        self._labels = train_labels
        self._num_train = num_train_images
        self._num_eval = num_eval_images
        self._rows = partition.share(
            settings.batch_size, settings.process_index, settings.process_count
        )
        self._steps_per_epoch = 0  # where only evaluation is wanted
        if num_train_images:
            self._steps_per_epoch = steps_per_epoch(settings.batch_size, num_train_images)

    @property
    def images_per_process(self) -> int:
        return self._rows.stop - self._rows.start

    def train_steps(self, epoch: int, first_step: int = 0) -> Iterator[dict]:
        """The steps of one epoch.

        Yields:
          A dictionary with
          - `own`: for this process's share of the batch, `index` (int32, b), places in the
            training set, and the result of `ImageAugmentation.sample`;
          - `partner`, with mixing only: the same for the image that each is mixed with;
          - the entries of `batch_level.sample`.
        """
        settings = self._settings
        order = self._order(rng.generator(rng.ORDER, settings.seed, epoch)).astype(np.int32)
        for step in range(first_step, self._steps_per_epoch):
            yield self._train_step(order, epoch, step)

    def _order(self, generator):
        """The places of the images of an epoch."""
        if self._settings.sampling == "balanced":
            return class_balance.balanced_order(self._labels, generator)
        return generator.permutation(self._num_train)

    def _train_step(self, order, epoch, step):
        settings = self._settings
        plan = {"own": self._images(order, epoch, step, self._rows)}
        if settings.batch_level.has_partners:
            rows = partition.mirrored(self._rows, settings.batch_size)
            mirrored = self._images(order, epoch, step, rows)
            plan["partner"] = {name: values[::-1].copy() for name, values in mirrored.items()}
        return plan | batch_level.sample(
            settings.batch_level,
            rng.generator(rng.STEPS, settings.seed, epoch, step),
            self.images_per_process,
            settings.image_shape,
            mixup_alpha=settings.mixup_alpha,
            cutout_length=settings.cutout_length,
        )

    def _images(self, order, epoch, step, rows):
        settings = self._settings
        start = step * settings.batch_size + rows.start
        count = rows.stop - rows.start
        uniforms = rng.uniforms(
            (rng.IMAGES, settings.seed, epoch), start, count, settings.augmentation.num_uniforms
        )
        return {"index": order[start : start + count], **settings.augmentation.sample(uniforms)}

    def eval_steps(self) -> Iterator[dict[str, np.ndarray]]:
        """Every evaluation image once, over all processes; padding repeats the first image.

        Yields:
          `index` (int32, b) and `mask` (float32, b): 1 for an image, 0 for padding.
        """
        return self.each_once(self._num_eval)

    def each_once(self, num_images: int) -> Iterator[dict[str, np.ndarray]]:
        """Like `eval_steps`, for any number of images."""
        batch_size = self._settings.batch_size
        for start in range(0, num_images, batch_size):
            positions = np.arange(start, start + batch_size, dtype=np.int32)[self._rows]
            mask = positions < num_images
            yield {"index": np.where(mask, positions, 0), "mask": mask.astype(np.float32)}


class PlannedSource(source.DataSource):
    """Base of the sources: the data, and the plan of the steps."""

    def __init__(self, data: LabelledData, settings: Settings):
        self.num_train_images = len(data.train)
        self.num_eval_images = len(data.test)
        self.image_shape = settings.image_shape
        self.eval_files = data.test.paths
        self.class_names = data.class_names
        self.mean, self.std = data.mean, data.std
        self.label_noise = label_noise.summary(data)
        wrong = label_noise.wrong_labels(data.train).astype(np.int32)
        self.num_wrong_labels = len(wrong)
        self._wrong_labels = wrong[partition.split_order(len(wrong))]  # not sorted by class
        self._data = data
        self._augmentation = settings.augmentation
        self._own_mixing = settings.batch_level.own
        self._plan = Plan(settings, self.num_train_images, self.num_eval_images, data.train.labels)
        self.class_weights = class_balance.class_weights(
            settings.class_weights, data.train.labels, len(data.class_names)
        )
        # (pixel / 255 - mean) / std as one multiplication and one addition. Both have the shape of
        # an image, because broadcasting over so few channels is slow.
        std = np.broadcast_to(np.asarray(data.std, np.float32), self.image_shape)
        self._scale = 1 / (255 * std)
        self._shift = -np.asarray(data.mean, np.float32) / std

    def prepare(self, device_data: Any, batch: Any) -> source.Batch:
        """The batch that was loaded; with class weights also `weight`, one per image."""
        batch = self._loaded(device_data, batch)
        if self.class_weights is None:
            return batch
        return batch | {"weight": batch["label"] @ self.class_weights}

    def _loaded(self, device_data, batch):
        """Completes a batch from `train_batches` on the device."""
        del device_data
        return batch

    def wrong_label_batches(self) -> Iterator[Any]:
        """See `DataSource`."""
        return self._batches_with_true_labels(self._steps_with_true_class(self._wrong_labels))

    def train_label_batches(self) -> Iterator[Any]:
        """See `DataSource`."""
        all_images = np.arange(
            self.num_train_images if self.num_wrong_labels else 0, dtype=np.int32
        )
        return self._batches_with_true_labels(self._steps_with_true_class(all_images))

    def true_classes(self, epoch: int) -> Iterator[np.ndarray]:
        """See `DataSource`."""
        if self.num_wrong_labels:
            for step in self._plan.train_steps(epoch):
                yield self._data.train.true_labels[step["own"]["index"]]

    def _batches_with_true_labels(self, steps: Iterator[dict]) -> Iterator[Any]:
        """The batches of some steps, for `prepare_eval`; by default the steps."""
        return steps

    def _steps_with_true_class(self, images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Steps like those of `Plan.eval_steps` over some training images.

        Args:
          images: their places in the training set.

        Yields:
          `index` (int32, b), places in the training set, `mask`, and `true_class` (int32, b).
        """
        true_labels = self._data.train.true_labels
        for step in self._plan.each_once(len(images)):
            index = images[step["index"]]
            true_class = true_labels[index].astype(np.int32)
            yield step | {"index": index, "true_class": true_class}

    @functools.cached_property
    def fingerprints(self) -> dict[str, str]:
        """See `DataSource`; computed when asked for, as it reads all images in memory."""
        parts = {"train": self._data.train, "eval": self._data.test}
        return {name: fingerprint(part, self.class_names) for name, part in parts.items()}

    def class_counts(self) -> dict[str, np.ndarray]:
        """Number of images of each class in `train` and `eval`, over all processes."""
        parts = {"train": self._data.train, "eval": self._data.test}
        count = len(self.class_names)
        return {name: images_per_class(part.labels, count) for name, part in parts.items()}
