"""A trained classifier asked about images: files, images of Pillow or arrays of bytes."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from PIL import Image

from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.images.eval_image import EvalImage
from gnp.errors import UserError
from gnp.main.fields.values import shown
from gnp.training import parallel

_KNOWN = "a path, an image of Pillow, or bytes (uint8) of height x width x channels"


class Predictions(NamedTuple):
    """What a classifier makes of some images.

    >>> found = Predictions(np.float32([[0.25, 0.75]]), ["cat", "dog"])
    >>> found.probabilities.shape
    (1, 2)

    Attributes:
      probabilities: float32, images x classes; nan where the model computes no finite numbers. They
        sum to one over the classes, or with loss=binary_cross_entropy each is that of a yes to its
        class.
      class_names: in the order of the probabilities.
    """

    probabilities: np.ndarray
    class_names: Sequence[str]

    @property
    def classes(self) -> list[str | None]:
        """The most probable class of each image; None where the probabilities are nan.

        >>> found.classes
        ['dog']
        """
        return [best[0][0] if best else None for best in self.top(1)]

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image with their probabilities, the first one first.

        >>> found.top(1)
        [[('dog', 0.75)]]
        """
        return [top_classes(row, self.class_names, count) for row in self.probabilities]


def top_classes(
    probabilities: np.ndarray, class_names: Sequence[str], count: int
) -> list[tuple[str, float]]:
    """The most probable classes, the first one first; none if the probabilities are not finite.

    Of equally probable classes the one with the smaller index is the first, as in evaluation.
    """
    if not np.isfinite(probabilities).all():
        return []
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(class_names[index], float(probabilities[index])) for index in order]


class Predictor:
    """A classifier on all devices. An image is prepared as in the evaluation of its run."""

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        prepare: EvalImage,
        class_names: Sequence[str],
        batch_size: int,
        is_yes_or_no: bool = False,
    ):
        """Args:
        model: the classifier.
        variables: its `params` and `batch_stats`.
        prepare: makes the model's input of an image.
        class_names: in the order of the outputs.
        batch_size: images that are computed at a time, at most; rounded up to the devices.
        is_yes_or_no: whether each class has a probability for itself.
        """
        probabilities = _each_for_itself if is_yes_or_no else jax.nn.softmax

        def step(variables, batch):
            logits = model.apply(variables, batch["image"], train=False)
            return probabilities(logits.astype(jnp.float32))

        self._step = parallel.map_eval_step(step, per_image=True)
        self._variables = parallel.replicate(dict(variables))
        self._prepare = prepare
        self._batch_size = batch_size
        self.class_names = class_names

    def __call__(self, images: Any) -> Predictions:
        """The probabilities of the classes of some images.

        Args:
          images: see `Run.predict`.

        Raises:
          UserError: an image cannot be used; names it and says why.
        """
        rows = [row for _, row in self.each(_as_sequence(images))]
        probabilities = np.array(rows, np.float32).reshape(-1, len(self.class_names))
        return Predictions(probabilities, self.class_names)

    def each(
        self, images: Sequence[Any], on_bad: Callable[[UserError], None] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The number and the probabilities of each image, in batches.

        Args:
          images: paths, images of Pillow or arrays.
          on_bad: called for an image that cannot be used, which is skipped; None: it is raised.

        Yields:
          The index of an image, and float32, classes.
        """
        size = self._padded(min(self._batch_size, len(images)))

        def read(index):
            try:
                return index, self._prepare(_pixels(images[index], index, self._prepare.channels))
            except UserError as error:
                return index, error

        with futures.ThreadPoolExecutor() as pool:
            for start in range(0, len(images), size):
                found = list(pool.map(read, range(start, min(start + size, len(images)))))
                for error in (x for _, x in found if isinstance(x, UserError)):
                    if on_bad is None:
                        raise error
                    on_bad(error)
                good = [(index, x) for index, x in found if not isinstance(x, UserError)]
                yield from zip(
                    [index for index, _ in good],
                    self._probabilities([x for _, x in good], size),
                    strict=True,
                )

    def _probabilities(self, inputs, size):
        """Of one batch, padded to its size, so that all batches are computed by one program."""
        if not inputs:
            return np.empty((0, len(self.class_names)), np.float32)
        batch = np.zeros((size, *self._prepare.shape), np.float32)
        batch[: len(inputs)] = inputs
        found = jax.device_get(self._step(self._variables, None, parallel.split({"image": batch})))
        return found.reshape(size, -1)[: len(inputs)]

    @staticmethod
    def _padded(count):
        devices = jax.local_device_count()
        return max(-(-count // devices), 1) * devices


def _each_for_itself(logits):
    """Sigmoids; nan, as softmax is, where no logit is the largest."""
    is_finite = jnp.isfinite(logits.max(axis=-1, keepdims=True))
    return jnp.where(is_finite, jax.nn.sigmoid(logits), jnp.nan)


def _as_sequence(images):
    """A list of images of what a user has given: one of them, a batch of bytes, or several."""
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if hasattr(images, "shape") and len(images.shape) != 4:
        raise UserError(
            f"The images have the shape {tuple(images.shape)}; give images x height x width x "
            "channels, such as images[None] for one image."
        )
    try:
        return list(images)
    except TypeError as error:
        raise UserError(f"The images are {shown(images)}; give a list, each {_KNOWN}.") from error


def _pixels(image, index, channels):
    """uint8, height x width x channels."""
    if isinstance(image, str | os.PathLike):
        return decode.read(os.fspath(image), channels)
    try:
        if not isinstance(image, Image.Image):
            image = _as_pillow(image, index)
        return decode.pixels_of(image, channels)
    except decode.BadImage as error:
        raise UserError(f"Image {index} cannot be used: {error}.") from error


def _as_pillow(image, index):
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(
            f"Image {index} is {array.dtype} of shape {array.shape}; give {_KNOWN}, from 0 to 255."
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UserError(
            f"Image {index} has {array.shape[2]} channels; give 1 (gray), 3 (RGB) or 4 (RGBA)."
        )
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
