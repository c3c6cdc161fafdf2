"""What a data source is: the contract that every kind of source keeps."""

import abc
from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict

import numpy as np


class Batch(TypedDict):
    """One process's share of a global batch, as numpy arrays."""

    image: np.ndarray  # float32, batch x height x width x channels, normalized
    label: np.ndarray  # float32, batch x classes; one-hot, or mixed by a batch-level augmentation
    mask: NotRequired[np.ndarray]  # float32, batch; evaluation only: 1 for an image, 0 for padding
    true_label: NotRequired[np.ndarray]  # like label, one-hot; from `wrong_label_batches` alone


class DataSource(abc.ABC):
    """Batches for training and evaluation.

    A source is made for one process of `process_count`. The global batch of a step is the same
    whatever the number of processes; process p gets the p-th contiguous share of it. What a step
    sees depends on (seed, epoch, position) alone.

    Attributes:
      num_train_images: images in one epoch of training, over all processes.
      num_eval_images: images in the evaluation set, over all processes.
      image_shape: (height, width, channels) of the images that the model gets.
      class_names: one name per class, in the order of the labels.
      mean, std: per channel, on the scale 0 to 1: what the images are normalized with.
      num_wrong_labels: training images whose label is not the true one, over all processes; 0
        without label noise.
      label_noise: kind and amount of the label noise, as `gnp.ds_pipeline.label_noise.summary`
        describes them; None without.
      device_data: tree of arrays that the training loop puts on every device once, for `prepare`
        and `prepare_eval`; None where batches come complete from the host.
    """

    num_train_images: int
    num_eval_images: int
    image_shape: tuple[int, int, int]
    class_names: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_wrong_labels: int = 0
    label_noise: dict[str, Any] | None = None
    device_data: Any = None

    @abc.abstractmethod
    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, `num_train_images // batch_size` of them.

        Args:
          epoch: from 0; decides order and augmentation, with the seed.
          first_step: skip this many steps of the epoch (to go on where a run was cut off).
        """

    @abc.abstractmethod
    def eval_batches(self) -> Iterator[Batch]:
        """Every evaluation image exactly once, over all processes; the last batch is padded.

        All batches have the same size, and every process gets the same number of them.
        """

    def wrong_label_batches(self) -> Iterator[Batch]:
        """The training images that have a wrong label, as evaluation batches, to see memorization.

        Each of the `num_wrong_labels` images comes exactly once over all processes, not augmented.
        `label` is the given, wrong label and `true_label` the true one. Sizes and padding are as in
        `eval_batches`, and `prepare_eval` completes a batch in the same way. Without label noise
        there are no batches.
        """
        return iter(())

    def prepare(self, device_data: Any, batch: Any) -> Batch:
        """Makes a training batch of what `train_batches` yields, on the device.

        Pure jax, called inside the mapped train step, on one device's part of the batch. Every
        leaf of the batch has the images along its first axis, so that it can be split anywhere.
        """
        return batch

    def prepare_eval(self, device_data: Any, batch: Any) -> Batch:
        """The same for the batches of `eval_batches` and `wrong_label_batches`."""
        return batch
