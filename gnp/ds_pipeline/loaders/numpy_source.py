"""Small data sets in memory, batched and augmented by numpy alone."""

from collections.abc import Iterator

import numpy as np

from gnp.ds_pipeline.augment import batch_level
from gnp.ds_pipeline.labelled_data import Examples, targets
from gnp.ds_pipeline.loaders.sampler import PlannedSource
from gnp.ds_pipeline.source import Batch


class NumpySource(PlannedSource):
    """A data set in memory, augmented without image operations; see `DataSource`."""

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        for step in self._plan.train_steps(epoch, first_step):
            images, labels = self._augmented(step["own"])
            partners = self._augmented(step["partner"]) if "partner" in step else (None, None)
            images, labels = batch_level.apply(
                np, images, labels, *partners, step, self._own_mixing
            )
            yield {"image": images, "label": labels}

    def eval_batches(self) -> Iterator[Batch]:
        for step in self._plan.eval_steps():
            yield self._eval_batch(self._data.test, step)

    def _batches_with_true_labels(self, steps):
        for step in steps:
            true_label = targets(np, step["true_class"], len(self.class_names))
            yield self._eval_batch(self._data.train, step) | {"true_label": true_label}

    def _eval_batch(self, examples, step):
        images, labels = self._load(examples, step["index"])
        return {"image": self._normalized(images), "label": labels, "mask": step["mask"]}

    def _augmented(self, sampled):
        images, labels = self._load(self._data.train, sampled["index"])
        images = self._normalized(_take(images, *self._augmentation.pixel_indices(np, sampled)))
        return self._augmentation.after_normalization(np, images, sampled), labels

    def _load(self, examples: Examples, index):
        labels = targets(np, examples.labels[index], len(self.class_names))
        return examples.images[index], labels

    def _normalized(self, images):
        return images * self._scale + self._shift


def _take(images, rows, columns):
    """The pixels at the given rows and columns, both batch x length."""
    count, height, width, channels = images.shape
    rows = np.arange(count)[:, None] * height + rows
    places = rows[:, :, None] * width + columns[:, None, :]
    return np.take(images.reshape(-1, channels), places, axis=0)
