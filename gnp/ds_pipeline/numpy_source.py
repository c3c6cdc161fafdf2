"""Small data in memory, batched and augmented with numpy alone."""

from collections.abc import Iterator

import numpy as np

from gnp.ds_pipeline import source
from gnp.ds_pipeline.augment import batch_level, geometry
from gnp.ds_pipeline.examples import Examples, LabelledData
from gnp.ds_pipeline.plan import Plan
from gnp.ds_pipeline.settings import Settings


class NumpySource(source.DataSource):
    """A data set held in memory; see `DataSource`."""

    def __init__(self, data: LabelledData, settings: Settings):
        self.num_train_images = len(data.train)
        self.num_eval_images = len(data.test)
        self.image_shape = data.train.images.shape[1:]
        self.class_names = data.class_names
        self._data = data
        self._settings = settings
        self._plan = Plan(
            settings,
            self.num_train_images,
            self.num_eval_images,
            self.image_shape,
            geometry.DRAWS,
        )
        self._scale = 255 * np.asarray(data.std, np.float32)
        self._shift = 255 * np.asarray(data.mean, np.float32)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[source.Batch]:
        for step in self._plan.train_steps(epoch, first_step):
            images, labels = self._augmented(step["index"], step["draws"])
            partners = None, None
            if "partner_index" in step:
                partners = self._augmented(step["partner_index"], step["partner_draws"])
            images, labels = batch_level.apply(np, images, labels, *partners, step)
            yield {"image": images, "label": labels}

    def eval_batches(self) -> Iterator[source.Batch]:
        for step in self._plan.eval_steps():
            images, labels = self._load(self._data.test, step["index"])
            yield {"image": self._normalized(images), "label": labels, "mask": step["mask"]}

    def _augmented(self, index, draws):
        images, labels = self._load(self._data.train, index)
        level = self._settings.image_level
        padding = self._settings.crop_padding if level.crop else 0
        rows, columns = geometry.pixel_indices(np, draws, images.shape[1:3], padding, level.flip)
        batch = np.arange(len(images))[:, None, None]
        return self._normalized(images[batch, rows[:, :, None], columns[:, None, :]]), labels

    def _load(self, examples: Examples, index):
        one_hot = np.eye(len(self.class_names), dtype=np.float32)
        return examples.images[index], one_hot[examples.labels[index]]

    def _normalized(self, images):
        return (images - self._shift) / self._scale
