"""A data set in accelerator memory, shuffled and augmented there by JAX."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from gnp.ds_pipeline.augment import batch_level
from gnp.ds_pipeline.labelled_data import Examples, LabelledData, targets
from gnp.ds_pipeline.loaders.sampler import PlannedSource
from gnp.ds_pipeline.settings import Settings
from gnp.ds_pipeline.source import Batch
from gnp.errors import UserError


class DeviceSource(PlannedSource):
    """A data set stored as bytes on every device, one image per row; see `DataSource`.

    For each image of a batch the host sends its index and its sampled augmentation, a few bytes.
    The batches equal those of the other sources, on any number of devices and hosts.

    Raises:
      UserError: the device does not support the augmentation.
    """

    def __init__(self, data: LabelledData, settings: Settings):
        if settings.augmentation.policy is not None:
            raise UserError(
                "dataset.loader=device has none, crop and basic as image-level augmentations; "
                "choose one of them, or dataset.loader=tfdata."
            )
        super().__init__(data, settings)
        self.device_data = {"train": _as_tree(data.train), "eval": _as_tree(data.test)}

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[dict]:
        return self._plan.train_steps(epoch, first_step)

    def eval_batches(self) -> Iterator[dict]:
        return self._plan.eval_steps()

    def _loaded(self, device_data, batch) -> Batch:
        train = device_data["train"]
        images, labels = self._augmented(train, batch["own"])
        partners = self._augmented(train, batch["partner"]) if "partner" in batch else (None, None)
        images, labels = batch_level.apply(jnp, images, labels, *partners, batch, self._own_mixing)
        return {"image": images, "label": labels}

    def prepare_eval(self, device_data, batch) -> Batch:
        has_true_labels = "true_class" in batch
        examples = device_data["train" if has_true_labels else "eval"]
        index = batch["index"]
        prepared = {
            "image": self._normalized(self._look_up(examples, index)),
            "label": self._targets(examples["label"][index]),
            "mask": batch["mask"],
        }
        if has_true_labels:
            prepared["true_label"] = self._targets(batch["true_class"])
        return prepared

    def _augmented(self, examples, sampled):
        index = sampled["index"]
        rows, columns = self._augmentation.pixel_indices(jnp, sampled)
        images = _rearranged(self._look_up(examples, index), rows, columns)
        images = self._augmentation.after_normalization(jnp, self._normalized(images), sampled)
        return images, self._targets(examples["label"][index])

    def _look_up(self, examples, index):
        return examples["image"][index].reshape(-1, *self.image_shape)

    def _normalized(self, images):
        return images * self._scale + self._shift

    def _targets(self, labels):
        return targets(jnp, labels, len(self.class_names))


def _as_tree(examples: Examples):
    # One row per image: a TPU would copy any other layout of the whole set at each step.
    height, width, channels = examples.images.shape[1:]
    images = examples.images.reshape(len(examples), height * width * channels)
    return {"image": images, "label": examples.labels.astype(np.int32)}


def _rearranged(images, rows, columns):
    """Selects rows and columns of each image.

    Uses products with one-hot matrices, because looking up single pixels is slow on a TPU. The
    products are exact: TPUs multiply in bfloat16, which represents every byte.
    """
    height, width = images.shape[1:3]
    images = jnp.einsum("nyh,nhwc->nywc", jax.nn.one_hot(rows, height), images)
    return jnp.einsum("nxw,nywc->nyxc", jax.nn.one_hot(columns, width), images)
