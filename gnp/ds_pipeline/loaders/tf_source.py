"""Batching and augmentation with tf.data. Importing this module imports tensorflow."""

from collections.abc import Iterator

import numpy as np

from gnp.ds_pipeline import tensorflow_cpu
from gnp.ds_pipeline.augment import batch_level, operations
from gnp.ds_pipeline.labelled_data import targets
from gnp.ds_pipeline.loaders.sampler import PlannedSource
from gnp.ds_pipeline.source import Batch

tf = tensorflow_cpu.load()


class TfSource(PlannedSource):
    """A data set in memory; see `DataSource`."""

    def __init__(self, data, settings):
        super().__init__(data, settings)
        self._process_count = settings.process_count
        self._parallel_calls = settings.parallel_calls or tf.data.AUTOTUNE
        # Traced once instead of in every epoch.
        self._train_fn = tf.function(self._train_batch, autograph=False)
        self._eval_fn = tf.function(self._eval_batch, autograph=False)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        steps = (self._to_load(step) for step in self._plan.train_steps(epoch, first_step))
        return self._run(steps, self._data.train, training=True)

    def eval_batches(self) -> Iterator[Batch]:
        return self._run(self._plan.eval_steps(), self._data.test, training=False)

    def _batches_with_true_labels(self, steps):
        return self._run(steps, self._data.train, training=False)

    def _to_load(self, step):
        """A flat step. With several processes, the mixing partners are appended to the share."""
        own, partner = step.pop("own"), step.pop("partner", None)
        if partner is not None and self._process_count > 1:
            own = {name: np.concatenate([own[name], partner[name][::-1]]) for name in own}
            step = {name: np.concatenate([values, values]) for name, values in step.items()}
        return own | step

    def _run(self, steps, examples, training):
        """Loads and completes the batches of the steps, in parallel but in order."""
        first = next(steps, None)
        if first is None:
            return
        first = self._loaded_step(first, examples)

        def all_steps():
            yield first
            for step in steps:
                yield self._loaded_step(step, examples)

        signature = {name: _spec(values) for name, values in first.items()}
        data = tf.data.Dataset.from_generator(all_steps, output_signature=signature)
        data = self._to_batches(data, len(first["index"]), training)
        yield from data.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()

    def _loaded_step(self, step, examples):
        """A step with images, or what they are read from, and labels."""
        count, index = len(self.class_names), step["index"]
        step["label"] = targets(np, examples.labels[index], count)
        if "true_class" in step:
            step["true_label"] = targets(np, step.pop("true_class"), count)
        return step | {"image": self._images_to_load(examples.images[index])}

    def _images_to_load(self, images):
        return images

    def _to_batches(self, data, count, training):
        del count
        return self._map(data, self._train_fn if training else self._eval_fn)

    def _map(self, data, function):
        return data.map(function, num_parallel_calls=self._parallel_calls, deterministic=True)

    def _train_batch(self, step):
        return self._mixed(step | {"image": self._augmented(step)})

    def _eval_batch(self, step):
        return self._labelled(step | {"image": self._normalized(step["image"])})

    def _augmented(self, step):
        """The images after image-level augmentation and normalization."""
        images = step["image"]
        if "operations" in step:
            images = operations.apply_layers(
                _as_bytes(images), step["operations"], step["arguments"], step["centres"]
            )
        images = self._normalized(self._cropped_and_flipped(images, step))
        return self._augmentation.after_normalization(tf, images, step)

    def _cropped_and_flipped(self, images, step):
        return _take(images, *self._augmentation.pixel_indices(tf, step))

    def _mixed(self, step):
        """A batch after batch-level augmentation, from normalized images and their labels."""
        images, labels = step["image"], step["label"]
        count = self._plan.images_per_process
        images, labels = batch_level.apply(
            tf,
            images[:count],
            labels[:count],
            tf.reverse(images, [0])[:count],
            tf.reverse(labels, [0])[:count],
            {name: step[name][:count] for name in batch_level.SAMPLED if name in step},
            self._own_mixing,
        )
        return {"image": images, "label": labels}

    def _labelled(self, step):
        names = ("image", "label", "mask", "true_label")
        return {name: step[name] for name in names if name in step}

    def _normalized(self, images):
        return tf.cast(images, tf.float32) * self._scale + self._shift


def _take(images, rows, columns):
    """The pixels at these rows and columns, both batch x length, in one gather."""
    _, height, width, channels = images.shape
    rows = tf.range(tf.shape(images)[0])[:, None] * height + rows
    places = rows[:, :, None] * width + columns[:, None, :]
    return tf.gather_nd(tf.reshape(images, (-1, channels)), places[..., None])


def _as_bytes(images):
    """Bytes; resized photos are floats that may exceed 0 to 255."""
    if images.dtype == tf.uint8:
        return images
    return tf.cast(tf.round(tf.clip_by_value(images, 0.0, 255.0)), tf.uint8)


def _spec(values):
    return tf.TensorSpec(values.shape, tf.string if values.dtype == object else values.dtype)
