"""Image files that are read and decoded in every epoch, with tf.data."""

import collections
import math
import os

import numpy as np

from gnp.ds_pipeline import tensorflow_cpu
from gnp.ds_pipeline.augment import geometry
from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.loaders.tf_source import TfSource
from gnp.errors import UserError

tf = tensorflow_cpu.load()

_AREA = (0.08, 1.0)  # of the photo
_ASPECT = (3 / 4, 4 / 3)  # width / height
# Where EXIF data or XMP data with an orientation is, in bytes, and what is found in it.
_EXIF_WITHIN = 1 << 17
_HAS_ORIENTATION = r"(?s)\C*(Exif\x00\x00|tiff:Orientation)\C*"
_EVAL_MARGIN = 32  # pixels: evaluation crops size / (size + margin) of the short side


class TfFileSource(TfSource):
    """A data set larger than memory; see `DataSource`.

    Photos (`ImageAugmentation.photos`) are cropped at random in training and at the centre in
    evaluation, then resized (bicubic). Other images become squares, as in memory.
    """

    def __init__(self, data, settings):
        super().__init__(data, settings)
        self._resize, self._antialias = settings.resize, settings.antialias
        self._train_image_fn = tf.function(self._train_image, autograph=False)
        self._eval_image_fn = tf.function(self._eval_image, autograph=False)

    def _to_batches(self, data, count, training):
        """Reads, decodes and augments file by file: one photo fits in the processor's cache."""
        data = self._map(data.unbatch(), self._train_image_fn if training else self._eval_image_fn)
        data = data.batch(count, drop_remainder=True)
        return self._map(data, self._mixed if training else self._labelled)

    def _train_image(self, step):
        batch_of_one = {name: values[None] for name, values in step.items()}
        batch_of_one["image"] = self._load(step, training=True)[None]
        return step | {"image": self._augmented(batch_of_one)[0]}

    def _eval_image(self, step):
        return step | {"image": self._normalized(self._load(step, training=False))}

    def _run(self, steps, examples, training):
        pending = collections.deque()  # files of the batches in progress

        def recorded():
            for step in steps:
                pending.append(examples.images[step["index"]])
                yield step

        try:
            for batch in super()._run(recorded(), examples, training):
                pending.popleft()
                yield batch
        except tf.errors.OpError as error:
            self._raise_for_bad_file(np.concatenate(pending))
            raise UserError(f"Images could not be read: {error.message}") from error

    def _raise_for_bad_file(self, paths):
        """Reads the files again, one by one, to name the one that failed."""
        whole = tf.function(
            lambda path: read_photo(path, lambda height, width: (0, 0, height, width))
        )
        for path in paths:
            decode.read(path, self.image_shape[-1])
            try:
                whole(tf.constant(os.fsencode(path)))
            except tf.errors.OpError as error:
                raise UserError(f"{path} cannot be used: {error.message}") from error

    def _images_to_load(self, images):
        return np.array([os.fsencode(path) for path in images], object)

    def _cropped_and_flipped(self, images, step):
        """Photos are cropped when they are decoded."""
        if not self._augmentation.photos:
            return super()._cropped_and_flipped(images, step)
        if not self._augmentation.flips:
            return images
        flip = geometry.flips(step["window"])[0]
        return tf.cond(flip, lambda: tf.reverse(images, [2]), lambda: images)

    def _load(self, step, training):
        if self._augmentation.photos:
            return self._load_photo(step, training)
        return self._load_square(step["image"])

    def _load_square(self, path):
        size, _, channels = self.image_shape

        def read(path):
            return decode.square(decode.read(os.fsdecode(path), channels), size, self._resize)

        return tf.ensure_shape(tf.numpy_function(read, [path], tf.uint8), self.image_shape)

    def _load_photo(self, step, training):
        size = self.image_shape[0]

        def window(height, width):
            if training and self._augmentation.crops_photos:
                return random_window(height, width, step["photo_crop"], size)
            return centre_window(height, width, size)

        photo = read_photo(step["image"], window)
        return tf.ensure_shape(resized(photo, size, self._antialias), self.image_shape)


def resized(photo, size, antialias):
    """A photo resized to size x size pixels (bicubic).

    Args:
      photo: uint8, height x width x 3.
      size: side of the result.
      antialias: filter a photo that is made smaller, as Pillow does. False: take the four nearest
        pixels in each direction, as the reference does.

    Returns:
      float32, size x size x 3, on the scale 0 to 255.
    """
    if antialias:
        # Bicubic weights are partly negative, so edges can exceed the scale.
        bicubic = tf.image.resize(photo, (size, size), "bicubic", antialias=True)
        return tf.clip_by_value(bicubic, 0.0, 255.0)
    # The first version of the operation, which the published models were trained with.
    return tf.raw_ops.ResizeBicubic(images=photo[None], size=(size, size))[0]


def read_photo(path, window):
    """Reads one file and decodes a window of it.

    Args:
      path: of the file.
      window: function of (height, width) that returns top, left, height and width of the window.

    Returns:
      uint8, height x width x 3.
    """
    encoded = tf.io.read_file(path)

    def jpeg():
        height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(encoded))
        part = tf.stack(window(height, width))
        return tf.image.decode_and_crop_jpeg(encoded, part, channels=3)

    def anything():
        pixels = tf.numpy_function(_decoded_or_empty, [encoded], tf.uint8)
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        top, left, height, width = window(tf.shape(pixels)[0], tf.shape(pixels)[1])
        return pixels[top : top + height, left : left + width]

    def is_plain():
        height, width, channels = tf.unstack(tf.io.extract_jpeg_shape(encoded, tf.int64))
        plain = (channels != 4) & (height * width <= decode.MAX_PIXELS)
        return plain & ~_is_turned(encoded)

    # tf decodes only the window of an upright grayscale or RGB JPEG. Pillow decodes all others.
    plain = tf.cond(tf.image.is_jpeg(encoded), is_plain, lambda: False)
    return tf.cond(plain, jpeg, anything)


def _is_turned(encoded):
    """Whether a JPEG has another orientation; Pillow is asked only where it may have one."""
    beginning = tf.strings.substr(encoded, 0, _EXIF_WITHIN)
    return tf.cond(
        tf.strings.regex_full_match(beginning, _HAS_ORIENTATION),
        lambda: tf.numpy_function(decode.is_turned, [beginning], tf.bool),
        lambda: False,
    )


def _decoded_or_empty(encoded):
    """An empty image for a bad file: it fails at the resize, without a long trace of this code."""
    try:
        return decode.decode(encoded, 3)
    except decode.BadImage:
        return np.empty((0, 0, 3), np.uint8)


def centre_window(height, width, size):
    """The centred square of size / (size + 32) of the short side."""
    short = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.maximum(tf.cast(short * (size / (size + _EVAL_MARGIN)), tf.int32), 1)
    return (height - side + 1) // 2, (width - side + 1) // 2, side, side


def random_window(height, width, uniforms, size):
    """A window of random area, shape and place; the centred window if no try fits.

    Args:
      height, width: of the photo.
      uniforms: float32, tries x 4, uniform in [0, 1): area, aspect, row, column of each try.
      size: see `centre_window`.
    """
    float_height, float_width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    area = (_AREA[0] + uniforms[:, 0] * (_AREA[1] - _AREA[0])) * float_height * float_width
    low, high = (math.log(aspect) for aspect in _ASPECT)
    aspect = tf.exp(low + uniforms[:, 1] * (high - low))
    heights = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
    widths = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
    fits = (heights > 0) & (widths > 0) & (heights <= height) & (widths <= width)
    first = tf.argmax(tf.cast(fits, tf.int32))

    def place(uniform, length, part):
        return tf.cast(uniform * tf.cast(length - part + 1, tf.float32), tf.int32)

    def chosen():
        tall, wide = heights[first], widths[first]
        top = place(uniforms[first, 2], height, tall)
        return top, place(uniforms[first, 3], width, wide), tall, wide

    return tf.cond(tf.reduce_any(fits), chosen, lambda: centre_window(height, width, size))
