"""The interface of a data source."""

import abc
from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict

import numpy as np


class Batch(TypedDict):
    """One process's share of a global batch, as numpy arrays."""

    image: np.ndarray  # float32, batch x height x width x channels, normalized
    label: np.ndarray  # float32, batch x classes; one-hot, or mixed by a batch-level augmentation
    weight: NotRequired[np.ndarray]  # float32, batch; of each image in the loss; absent: 1
    mask: NotRequired[np.ndarray]  # float32, batch; evaluation only: 1 for an image, 0 for padding
    true_label: NotRequired[np.ndarray]  # like label, one-hot; of training images to evaluate


class DataSource(abc.ABC):
    """Batches for training and evaluation.

    A source belongs to one of several processes. The global batch of a step does not depend on the
    number of processes; process p gets the p-th contiguous share of it. The content of a batch
    depends only on (seed, epoch, position).

    >>> from gnp.ds_pipeline.build import build_source
    >>> source = build_source(gnp.load_config("digits", {"dataset.label_noise": 0.4}))
    >>> source.num_train_images, source.image_shape
    (1437, (8, 8, 1))

    Attributes:
      num_train_images: images in one epoch of training, over all processes.
      num_eval_images: images in the evaluation set, over all processes.
      image_shape: (height, width, channels) of the model's input.
      class_names: one name per class, in the order of the labels.
      mean, std: normalization constants per channel, on the scale 0 to 1.
      num_wrong_labels: training images whose label is not the true one, over all processes; 0
        without label noise.
      label_noise: kind and amount of the label noise, as `labels.label_noise.summary` returns
        them; None without label noise.
      eval_files: paths of the evaluation images in the order of `eval_batches`, over all processes;
        None: they are no files.
      fingerprints: of the images with their labels in `train` and `eval`, see
        `gnp.ds_pipeline.fingerprint`; None: unknown.
      class_weights: float32, one per class, of its images in the training loss; None: all 1.
      device_data: tree of arrays that the training loop copies to every device once and passes to
        `prepare` and `prepare_eval`; None if the host yields complete batches.
    """

    num_train_images: int
    num_eval_images: int
    image_shape: tuple[int, int, int]
    class_names: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_wrong_labels: int = 0
    label_noise: dict[str, Any] | None = None
    eval_files: np.ndarray | None = None
    fingerprints: dict[str, str] | None = None
    class_weights: np.ndarray | None = None
    device_data: Any = None

    @abc.abstractmethod
    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The `num_train_images // batch_size` batches of one epoch.

        Args:
          epoch: from 0; determines order and augmentation together with the seed.
          first_step: number of steps to skip, to resume within an epoch.

        >>> len(list(source.train_batches(epoch=0, first_step=20)))  # of 22 steps
        2
        """

    @abc.abstractmethod
    def eval_batches(self) -> Iterator[Batch]:
        """Every evaluation image exactly once, over all processes; the last batch is padded.

        All batches have the same size, and every process gets the same number of them.

        >>> sum(int(batch["mask"].sum()) for batch in source.eval_batches())
        360
        """

    def wrong_label_batches(self) -> Iterator[Batch]:
        """The training images with a wrong label, as evaluation batches, to measure memorization.

        Each of the `num_wrong_labels` images occurs exactly once over all processes, without
        augmentation. `label` is the given, wrong label, `true_label` the true one. Batch size and
        padding are those of `eval_batches`; `prepare_eval` completes these batches too. Without
        wrong labels there are no batches.

        >>> next(source.wrong_label_batches())["true_label"].shape
        (64, 10)
        """
        return iter(())

    def train_label_batches(self) -> Iterator[Batch]:
        """The same for all training images, in their order; none without wrong labels.

        >>> next(source.train_label_batches())["image"].shape
        (64, 8, 8, 1)
        """
        return iter(())

    def true_classes(self, epoch: int) -> Iterator[np.ndarray]:
        """The true class of each image in the `train_batches` of an epoch, batch by batch.

        Of a mixed image, the first of the two. Without wrong labels there are none.

        >>> next(source.true_classes(epoch=0)).shape
        (64,)
        """
        return iter(())

    def prepare(self, device_data: Any, batch: Any) -> Batch:
        """Completes a training batch from `train_batches` on the device.

        A pure JAX function, called inside the mapped train step on one device's part of the batch.
        The first axis of every leaf is the batch, so that a batch can be split at any image.

        >>> source.prepare(source.device_data, next(source.train_batches(epoch=0)))["image"].shape
        (64, 8, 8, 1)
        """
        return batch

    def prepare_eval(self, device_data: Any, batch: Any) -> Batch:
        """The same for evaluation batches: `eval_batches` and those with `true_label`.

        >>> source.prepare_eval(source.device_data, next(source.eval_batches()))["image"].shape
        (64, 8, 8, 1)
        """
        return batch
