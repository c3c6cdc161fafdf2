"""Images batched and augmented with tf.data. Importing this module loads tensorflow."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from gnp.ds_pipeline import source
from gnp.ds_pipeline.augment import batch_level, geometry
from gnp.ds_pipeline.examples import LabelledData
from gnp.ds_pipeline.plan import Plan
from gnp.ds_pipeline.settings import Settings

# The accelerator belongs to jax alone.
tf.config.set_visible_devices([], "GPU")


class TfSource(source.DataSource):
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
        self._scale = 1 / (255 * np.asarray(data.std, np.float32))
        self._shift = -np.asarray(data.mean, np.float32) / np.asarray(data.std, np.float32)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[source.Batch]:
        steps = (
            self._with_images(self._with_partners(step), self._data.train)
            for step in self._plan.train_steps(epoch, first_step)
        )
        return self._run(steps, self._train_batch)

    def eval_batches(self) -> Iterator[source.Batch]:
        steps = (self._with_images(step, self._data.test) for step in self._plan.eval_steps())
        return self._run(steps, self._eval_batch)

    def _with_partners(self, step):
        """Appends the images to mix with, unless they are this batch itself, reversed."""
        if "partner_index" not in step:
            return step
        index, draws = step.pop("partner_index"), step.pop("partner_draws")
        if self._settings.process_count > 1:
            step["index"] = np.concatenate([step["index"], index[::-1]])
            step["draws"] = np.concatenate([step["draws"], draws[::-1]])
        return step

    def _with_images(self, step, examples):
        index = step.pop("index")
        return step | {"image": examples.images[index], "class": examples.labels[index]}

    def _run(self, steps, batch_fn):
        """Maps `batch_fn` over the steps in parallel, in order."""
        steps = iter(steps)
        first = next(steps, None)
        if first is None:
            return

        def with_first():
            yield first
            yield from steps

        signature = {k: tf.TensorSpec(np.shape(v), v.dtype) for k, v in first.items()}
        data = tf.data.Dataset.from_generator(with_first, output_signature=signature)
        data = data.map(batch_fn, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        yield from data.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()

    def _train_batch(self, step):
        level, size = self._settings.image_level, self.image_shape[:2]
        padding = self._settings.crop_padding if level.crop else 0
        rows, columns = geometry.pixel_indices(tf, step["draws"], size, padding, level.flip)
        images = tf.gather(step["image"], rows, axis=1, batch_dims=1)
        # The pixels of one row lie side by side, so columns are looked up in (batch, row) pairs.
        images = tf.gather(images, _per_row(columns, size), axis=2, batch_dims=2)
        images, labels = self._normalized(images), self._one_hot(step["class"])
        count = self._plan.images_per_process
        images, labels = batch_level.apply(
            tf,
            images[:count],
            labels[:count],
            images[-count:][::-1],
            labels[-count:][::-1],
            step,
        )
        return {"image": images, "label": labels}

    def _eval_batch(self, step):
        return {
            "image": self._normalized(step["image"]),
            "label": self._one_hot(step["class"]),
            "mask": step["mask"],
        }

    def _normalized(self, images):
        return tf.cast(images, tf.float32) * self._scale + self._shift

    def _one_hot(self, classes):
        return tf.one_hot(classes, len(self.class_names))


def _per_row(columns, size):
    return tf.repeat(columns[:, None, :], size[0], axis=1)
