"""Which images a process loads in a step, and with which random numbers."""

from collections.abc import Iterator

import numpy as np

from gnp.ds_pipeline import draws, partition
from gnp.ds_pipeline.augment import batch_level
from gnp.ds_pipeline.settings import Settings
from gnp.errors import UserError


class Plan:
    """The steps of training and evaluation as small arrays: no image is touched here.

    Args:
      settings: of the pipeline.
      num_train_images, num_eval_images: over all processes.
      image_shape: (height, width, channels).
      draws_per_image: uniform numbers that the augmentation of one image consumes.

    Raises:
      UserError: the batch size does not suit the data or the number of processes.
    """

    def __init__(
        self,
        settings: Settings,
        num_train_images: int,
        num_eval_images: int,
        image_shape: tuple[int, int, int],
        draws_per_image: int,
    ):
        self._settings = settings
        self._num_train = num_train_images
        self._num_eval = num_eval_images
        self._image_shape = image_shape
        self._draws_per_image = draws_per_image
        self._rows = partition.share(
            settings.batch_size, settings.process_index, settings.process_count
        )
        if num_train_images < settings.batch_size:
            raise UserError(
                f"batch_size {settings.batch_size} is more than the {num_train_images} training "
                "images; choose a smaller one."
            )

    @property
    def images_per_process(self) -> int:
        return self._rows.stop - self._rows.start

    def train_steps(self, epoch: int, first_step: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """The steps of one epoch.

        Yields:
          `index` (int32, b): which training images make up this process's share of the batch;
          `draws` (float32, b x draws_per_image): the random numbers of each. With mixing also
          `partner_index` and `partner_draws`, the same for the image to mix each with. And what
          the batch-level augmentation drew (`batch_level.draw`).
        """
        settings = self._settings
        rng = draws.generator(draws.ORDER, settings.seed, epoch)
        order = rng.permutation(self._num_train).astype(np.int32)
        for step in range(first_step, self._num_train // settings.batch_size):
            yield self._train_step(order, epoch, step)

    def _train_step(self, order, epoch, step):
        settings = self._settings
        index, image_draws = self._images(order, epoch, step, self._rows)
        plan = {"index": index, "draws": image_draws}
        if settings.batch_level.mix:
            rows = partition.mirrored(self._rows, settings.batch_size)
            index, image_draws = self._images(order, epoch, step, rows)
            plan |= {"partner_index": index[::-1].copy(), "partner_draws": image_draws[::-1].copy()}
        return plan | batch_level.draw(
            settings.batch_level,
            draws.generator(draws.STEPS, settings.seed, epoch, step),
            len(index),
            self._image_shape,
            mixup_alpha=settings.mixup_alpha,
            cutout_length=settings.cutout_length,
        )

    def _images(self, order, epoch, step, rows):
        start = step * self._settings.batch_size + rows.start
        count = rows.stop - rows.start
        address = (draws.IMAGES, self._settings.seed, epoch)
        return (
            order[start : start + count],
            draws.uniforms(address, start, count, self._draws_per_image),
        )

    def eval_steps(self) -> Iterator[dict[str, np.ndarray]]:
        """Every evaluation image once, over all processes; padding repeats the first image.

        Yields:
          `index` (int32, b) and `mask` (float32, b): 1 for an image, 0 for padding.
        """
        batch_size = self._settings.batch_size
        for start in range(0, self._num_eval, batch_size):
            positions = np.arange(start, start + batch_size, dtype=np.int32)[self._rows]
            mask = positions < self._num_eval
            yield {"index": np.where(mask, positions, 0), "mask": mask.astype(np.float32)}
