"""The sixteen image operations of AutoAugment and RandAugment, on batches, in tensorflow.

E. D. Cubuk et al., AutoAugment (arXiv 1805.09501) and RandAugment (arXiv 1909.13719). Arguments:

  images: uint8, batch x height x width x channels (1 or 3);
  arguments: float32, batch: one strength per image, in the operation's unit;
  centres: float32, batch x 2, uniform in [0, 1): centre of Cutout's square, ignored by the others.

Each returns images of the same shape. The arithmetic equals that of the published models in every
rounding. As there, Contrast blends with the pixel count / 256 instead of the mean level.
"""

import functools
import math

import numpy as np

from gnp.ds_pipeline import tensorflow_cpu
from gnp.ds_pipeline.augment.policies import OPERATIONS

tf = tensorflow_cpu.load()

_FILL = 128  # level of pixels from outside the image
_GRAY_WEIGHTS = (0.2989, 0.5870, 0.1140)
_SMOOTHING = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def apply_layers(images, operations, arguments, centres):
    """Applies a sequence of operations to each image.

    Args:
      images: uint8, batch x height x width x channels.
      operations: int32, batch x layers: places in `policies.OPERATIONS`, or
        `policies.NO_OPERATION`.
      arguments: float32, batch x layers.
      centres: float32, batch x layers x 2.

    Returns:
      uint8 images of the same shape.
    """
    apply_layer = _apply_to_one if images.shape[0] == 1 else _apply_to_groups
    for layer in range(operations.shape[1]):
        images = apply_layer(images, operations[:, layer], arguments[:, layer], centres[:, layer])
    return images


def _apply_to_one(images, operations, arguments, centres):
    """For a batch of one image: runs one branch."""
    branches = [
        functools.partial(_FUNCTIONS[name], images, arguments, centres) for name in OPERATIONS
    ]
    return tf.switch_case(operations[0], [*branches, lambda: images])


def _apply_to_groups(images, operations, arguments, centres):
    """Groups the images by operation, so that each operation runs once, on all its images."""
    groups = len(OPERATIONS) + 1

    def split(values):
        return tf.dynamic_partition(values, operations, groups)

    parts = list(zip(split(images), split(arguments), split(centres), strict=True))
    done = [_FUNCTIONS[name](*part) for name, part in zip(OPERATIONS, parts, strict=False)]
    places = split(tf.range(tf.shape(images)[0]))
    merged = tf.dynamic_stitch(places, [*done, parts[-1][0]])
    return tf.ensure_shape(merged, images.shape)


def auto_contrast(images, arguments, centres):
    """Stretches each channel to the levels 0 to 255."""
    levels = tf.cast(images, tf.float32)
    low = tf.reduce_min(levels, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(levels, axis=(1, 2), keepdims=True)
    scale = tf.where(high > low, 255.0 / (high - low), 1.0)
    shift = tf.where(high > low, -low * scale, 0.0)
    # Repeated over each row, because broadcasting over so few channels is slow.
    scale, shift = (tf.repeat(x, images.shape[2], axis=2) for x in (scale, shift))
    return _to_levels(levels * scale + shift)


def equalize(images, arguments, centres):
    """Equalizes the histogram of each channel."""
    _, height, width, channels = images.shape
    planes = tf.cast(tf.transpose(images, (0, 3, 1, 2)), tf.int32)
    planes = tf.reshape(planes, (-1, height * width))
    counts = tf.math.bincount(planes, minlength=256, maxlength=256, axis=-1)
    highest = tf.reduce_max(planes, axis=1, keepdims=True)
    of_highest = tf.gather(counts, highest, axis=1, batch_dims=1)
    step = (height * width - of_highest) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.where(step == 0, tf.range(256)[None], table)
    spread = tf.cast(tf.gather(table, planes, axis=1, batch_dims=1), tf.uint8)
    return tf.transpose(tf.reshape(spread, (-1, channels, height, width)), (0, 2, 3, 1))


def invert(images, arguments, centres):
    return 255 - images


def rotate(images, arguments, centres):
    """Rotates about the centre by an angle in degrees, counter-clockwise."""
    height, width = images.shape[1:3]
    cos = tf.cos(arguments * (math.pi / 180))
    sin = tf.sin(arguments * (math.pi / 180))
    x, y = width - 1.0, height - 1.0
    x_shift = (x - (cos * x - sin * y)) / 2
    y_shift = (y - (sin * x + cos * y)) / 2
    return _transform(images, cos, -sin, x_shift, sin, cos, y_shift)


def posterize(images, arguments, centres):
    """Keeps the upper bits of each level; 0 bits count as 1."""
    dropped = tf.cast(8 - tf.maximum(tf.round(arguments), 1), tf.uint8)[:, None, None, None]
    return tf.bitwise.left_shift(tf.bitwise.right_shift(images, dropped), dropped)


def solarize(images, arguments, centres):
    """Inverts levels at or above a threshold; 256 counts as 0, as in the published models."""
    threshold = tf.cast(_per_image(arguments % 256), tf.uint8)
    return tf.bitwise.bitwise_xor(images, _mask(images >= threshold) * 255)


def solarize_add(images, arguments, centres):
    """Adds the argument to levels below 128."""
    addition = tf.cast(_per_image(arguments), tf.uint8)
    added = tf.minimum(images, 255 - addition) + addition
    return _choose(_mask(images < 128), added, images)


def color(images, arguments, centres):
    """Blends with the gray image; 0 is gray, 1 the image."""
    return _blend(_gray(images), images, arguments)


def contrast(images, arguments, centres):
    """Blends with the level pixel count / 256, as in the published models; 1 is the image."""
    height, width = images.shape[1:3]
    level = tf.constant(min(height * width / 256, 255.0), tf.float32)
    return _blend(tf.fill(tf.shape(images), tf.cast(level, tf.uint8)), images, arguments)


def brightness(images, arguments, centres):
    """Blends with black; 0 is black, 1 the image."""
    return _blend(tf.zeros_like(images), images, arguments)


def sharpness(images, arguments, centres):
    """Blends with a smoothed image; 1 is the image. Border pixels do not change."""
    height, width = images.shape[1:3]
    if min(height, width) < 3:
        return images
    smooth = _smoothed(images, height - 2, width - 2)
    smooth = tf.pad(_to_levels(smooth), ((0, 0), (1, 1), (1, 1), (0, 0)))
    inner = np.zeros(images.shape[1:], np.uint8)
    inner[1:-1, 1:-1] = 1
    return _blend(smooth + images * (1 - inner), images, arguments)


def _smoothed(images, height, width):
    """Means of 3x3 pixels, the centre weighted five times.

    If a mean is a whole number, its rounding error decides the level. Some processors round once
    per multiply-add, as in the published test vectors. In float64 every processor does so here.
    """
    levels = tf.cast(images, tf.float64)
    mean = tf.zeros_like(images[:, :height, :width], tf.float32)
    for (row, column), weight in np.ndenumerate(_SMOOTHING):
        shifted = levels[:, row : row + height, column : column + width]
        mean = tf.cast(float(weight) * shifted + tf.cast(mean, tf.float64), tf.float32)
    return mean


def shear_x(images, arguments, centres):
    """Shifts each row by the argument times its row number."""
    return _transform(images, 1.0, arguments, 0.0, 0.0, 1.0, 0.0)


def shear_y(images, arguments, centres):
    """Shifts each column by the argument times its column number."""
    return _transform(images, 1.0, 0.0, 0.0, arguments, 1.0, 0.0)


def translate_x(images, arguments, centres):
    """Shifts to the left, in pixels."""
    return _transform(images, 1.0, 0.0, arguments, 0.0, 1.0, 0.0)


def translate_y(images, arguments, centres):
    """Shifts upwards, in pixels."""
    return _transform(images, 1.0, 0.0, 0.0, 0.0, 1.0, arguments)


def cutout(images, arguments, centres):
    """Fills a square that extends `argument` pixels to each side of its centre with gray."""
    inside = True
    for axis, length in enumerate(images.shape[1:3]):
        centre = tf.floor(centres[:, axis] * length)
        distance = tf.range(length, dtype=tf.float32)[None] - centre[:, None]
        reach = tf.round(arguments)[:, None]
        near = (distance >= -reach) & (distance < reach)
        inside &= near[:, :, None, None] if axis == 0 else near[:, None, :, None]
    mask = tf.repeat(_mask(inside), images.shape[-1], axis=-1)
    return _choose(mask, tf.constant(_FILL, tf.uint8), images)


def _transform(images, *matrix):
    """Copies pixel (x, y) from (a x + b y + c, d x + e y + f), rounded to the nearest pixel."""
    count = tf.shape(images)[0]
    rows = [tf.broadcast_to(entry, (count,)) for entry in (*matrix, 0.0, 0.0)]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=images.shape[1:3],
        fill_value=float(_FILL),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _blend(first, second, factors):
    """first + factor (second - first), clipped to 0 and 255, rounded towards zero."""
    first, second = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
    return _to_levels(first + _per_image(factors) * (second - first))


def _mask(condition):
    return tf.cast(condition, tf.uint8)


def _choose(mask, first, second):
    """`first` where the mask is 1, `second` where it is 0; faster on bytes than `tf.where`."""
    return mask * first + (1 - mask) * second


def _gray(images):
    if images.shape[-1] == 1:
        return images
    weighted = tf.tensordot(tf.cast(images, tf.float32) / 255, _GRAY_WEIGHTS, axes=1)
    levels = tf.image.convert_image_dtype(weighted[..., None], tf.uint8, saturate=True)
    return tf.repeat(levels, 3, axis=-1)


def _per_image(values):
    return values[:, None, None, None]


def _to_levels(values):
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)


_FUNCTIONS = {
    "AutoContrast": auto_contrast,
    "Equalize": equalize,
    "Invert": invert,
    "Rotate": rotate,
    "Posterize": posterize,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "Color": color,
    "Contrast": contrast,
    "Brightness": brightness,
    "Sharpness": sharpness,
    "ShearX": shear_x,
    "ShearY": shear_y,
    "TranslateX": translate_x,
    "TranslateY": translate_y,
    "Cutout": cutout,
}
