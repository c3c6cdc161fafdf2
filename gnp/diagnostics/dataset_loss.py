"""Loss, gradient and Hessian products over a whole data set, as functions of the parameters."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gnp.errors import UserError
from gnp.training import loss as losses
from gnp.training import parallel
from gnp.training.evaluate import prediction_errors

PyTree = Any

# Sets up to this many bytes stay on the devices between two passes.
_KEPT_BYTES = 2e9


class WholeSet:
    """Means over a data set, computed in batches that are split over the devices.

    The loss is that of the images without the L2 term, which would add l2 to each eigenvalue of the
    Hessian of the parameters that it covers. The model is in evaluation mode: batch norms use their
    running statistics, and nothing is dropped. Products have full float32 precision.

    >>> from gnp.ds_pipeline.build import build_source
    >>> class Linear(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         return nn.Dense(10)(images.reshape(len(images), -1))
    ...
    >>> source = build_source(gnp.load_config("digits"))
    >>> variables = Linear().init(jax.random.key(0), jnp.ones((1, 8, 8, 1)), train=False)
    >>> params = parallel.replicate(variables["params"])
    >>> whole_set = WholeSet(Linear(), source)
    >>> whole_set.num_images
    360

    Attributes:
      num_images: images in the set.
    """

    def __init__(
        self,
        model: nn.Module,
        source: Any,
        *,
        label_smoothing: float = 0.0,
        image_loss: losses.ImageLoss = losses.cross_entropy,
        multi_label: bool = False,
    ):
        """Args:
        model: the classifier, computing in float32.
        source: its evaluation set is the data set.
        label_smoothing, image_loss, multi_label: as in training.
        """
        self._model = model
        self._source = source
        self._label_smoothing = label_smoothing
        self._image_loss = image_loss
        self._multi_label = multi_label
        self._device_data = parallel.replicate(source.device_data)
        self._kept: list[PyTree] | None = None
        self.num_images = source.num_eval_images
        self._can_keep = self.num_images * np.prod(source.image_shape) * 4 <= _KEPT_BYTES
        self._loss = self.mapped(self._loss_sums)
        self._gradient = self.mapped(self._gradient_sum)
        self._product = self.mapped(self._product_sum)

    @property
    def images_per_device(self) -> int:
        """Images in a device's part of a batch, with padding."""
        return next(self._batches())["mask"].shape[1]

    def batch_loss(self, params: PyTree, batch_stats: PyTree, batch: dict) -> jax.Array:
        """Loss of each image of a batch; 0 for padding."""
        return self._per_image(params, batch_stats, batch)[0]

    def mapped(
        self, sums_of: Callable[..., PyTree], group_size: int | None = None
    ) -> Callable[..., PyTree]:
        """Maps `sums_of(inputs, batch) -> sums` over batches and devices, and adds the sums.

        Args:
          sums_of: sums over the images of one device's part of a batch.
          group_size: images of that part that `sums_of` gets at a time; None: all.

        Returns:
          `inputs -> sums` over the whole set, on the devices.

        Raises:
          UserError: when called, if a device's part does not divide into groups.
        """

        def step(inputs_and_start, batch):
            inputs, start = inputs_and_start
            size = group_size or len(batch["mask"])
            group = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, size), batch)
            with jax.default_matmul_precision("highest"):
                return parallel.total(sums_of(inputs, group))

        step = parallel.map_eval_step(step, self._source.prepare_eval)

        def over_the_set(inputs):
            total = None
            for batch in self._batches():
                for start in _group_starts(batch["mask"].shape[1], group_size):
                    sums = step((inputs, start), self._device_data, batch)
                    total = sums if total is None else jax.tree.map(jnp.add, total, sums)
                    # On CPUs, all-reduces that run at the same time can deadlock.
                    if jax.default_backend() == "cpu":
                        jax.block_until_ready(total)
            return total

        return over_the_set

    def loss_and_error(self, params: PyTree, batch_stats: PyTree) -> tuple[float, float]:
        """Mean loss, and the share of images that the model classifies wrongly.

        >>> loss, error_rate = whole_set.loss_and_error(params, {})
        >>> 0 < loss, 0 <= error_rate <= 1
        (True, True)
        """
        loss, errors = jax.device_get(self._loss((params, batch_stats)))
        return float(loss) / self.num_images, float(errors) / self.num_images

    def gradient(self, params: PyTree, batch_stats: PyTree) -> PyTree:
        r"""Gradient :math:`\nabla L(\theta)` of the mean loss.

        >>> whole_set.gradient(params, {})["Dense_0"]["kernel"].shape
        (64, 10)
        """
        return self._mean(self._gradient((params, batch_stats)))

    def hessian_product(self, params: PyTree, batch_stats: PyTree, vector: PyTree) -> PyTree:
        """The Hessian of the mean loss times a vector, by forward-over-reverse differentiation.

        :math:`H v` costs about 2.7 gradients.

        >>> whole_set.hessian_product(params, {}, params)["Dense_0"]["kernel"].shape
        (64, 10)

        Args:
          vector: a tree like the parameters.
        """
        return self._mean(self._product((params, batch_stats, vector)))

    def _mean(self, sums):
        return jax.tree.map(lambda leaf: leaf / self.num_images, sums)

    def _batches(self) -> Iterator[PyTree]:
        if self._kept is None and self._can_keep:
            self._kept = list(parallel.split_ahead(self._source.eval_batches()))
        if self._kept is not None:
            yield from self._kept
        else:
            yield from parallel.split_ahead(self._source.eval_batches())

    def _per_image(self, params, batch_stats, batch):
        is_image = batch["mask"] > 0
        # Padding may have any value; zeros keep the gradients finite.
        images = jnp.where(is_image[:, None, None, None], batch["image"], 0)
        logits = self._model.apply(
            {"params": params, "batch_stats": batch_stats}, images, train=False
        )
        labels = losses.smooth_labels(batch["label"], self._label_smoothing)
        loss = jnp.where(is_image, self._image_loss(logits, labels), 0)
        errors = prediction_errors(logits, batch["label"], multi_label=self._multi_label)
        return loss, jnp.where(is_image, errors, 0)

    def _loss_sums(self, inputs, batch):
        return jax.tree.map(jnp.sum, self._per_image(*inputs, batch))

    def _gradient_sum(self, inputs, batch):
        params, batch_stats = inputs
        return jax.grad(lambda p: self.batch_loss(p, batch_stats, batch).sum())(params)

    def _product_sum(self, inputs, batch):
        params, batch_stats, vector = inputs
        gradient = jax.grad(lambda p: self.batch_loss(p, batch_stats, batch).sum())
        return jax.jvp(gradient, (params,), (vector,))[1]


def _group_starts(size, group_size):
    if group_size and size % group_size:
        raise UserError(
            f"A device's part of a batch is {size} images, which do not divide into groups of "
            f"--m={group_size}; choose another m, such as {math.gcd(size, group_size)}, or a "
            f"--config.batch_size of a multiple of {group_size} per device."
        )
    return range(0, size, group_size or size)
