"""Image-level augmentation: sampling, and the operations shared by all libraries."""

import numpy as np

from gnp.ds_pipeline.augment import erasing, geometry, policies
from gnp.ds_pipeline.augment.levels import ImageLevel

RESIZED_CROP_TRIES = 10
_UNIFORMS_PER_TRY = 4  # area, aspect, row, column


class ImageAugmentation:
    """The image-level augmentation of a run.

    Args:
      level: the kinds of augmentation.
      size: height and width of the model's input.
      padding: pixels on each side before a crop.
      policy: chooses the operations (see `policies`); None: no operations.
      erasing_probability: share of the images in which a box is erased.
      photos: images are photos of any size, cropped while they are decoded, instead of images of
        the final size, which are padded and cropped.
    """

    def __init__(
        self,
        level: ImageLevel,
        size: tuple[int, int],
        *,
        padding: int,
        policy,
        erasing_probability: float,
        photos: bool,
    ):
        self.policy = policy
        self.photos = photos
        self.crops_photos = photos and level.crop
        self._size = size
        self.flips = level.flip
        self.own = level.own
        self._padding = padding if level.crop and not photos else 0
        self._erasing_probability = erasing_probability
        self._columns = self._assign_columns()

    @property
    def num_uniforms(self) -> int:
        """Number of uniform random numbers per image."""
        return sum(width for _, width in self._columns)

    def sample(self, uniforms: np.ndarray) -> dict[str, np.ndarray]:
        """The augmentation of each image of a batch.

        Args:
          uniforms: float32, batch x num_uniforms, uniform in [0, 1).

        Returns:
          `window` (float32, batch x 3) for `pixel_indices`; with operations `operations`,
          `arguments` and `centres` (see `policies.choose`); with erasing `erased` (boxes); for
          crops of photos `photo_crop` (float32, batch x tries x 4); with a registered
          augmentation `uniforms` (float32, batch x its number).
        """
        parts, start = {}, 0
        for name, width in self._columns:
            parts[name] = uniforms[:, start : start + width]
            start += width
        sampled = {"window": parts["window"].copy()}
        if "policy" in parts:
            sampled |= policies.choose(self.policy, parts["policy"])
        if "erased" in parts:
            sampled["erased"] = erasing.sample(
                parts["erased"], self._erasing_probability, self._size
            )
        if "uniforms" in parts:
            sampled["uniforms"] = parts["uniforms"].copy()
        if "photo_crop" in parts:
            shape = (len(uniforms), RESIZED_CROP_TRIES, _UNIFORMS_PER_TRY)
            sampled["photo_crop"] = parts["photo_crop"].reshape(shape).copy()
        return sampled

    def pixel_indices(self, xp, sampled):
        """Source rows and columns of the padded crop and the flip; see `geometry`."""
        return geometry.pixel_indices(xp, sampled["window"], self._size, self._padding, self.flips)

    def after_normalization(self, xp, images, sampled):
        """What follows normalization: a registered augmentation, and random erasing."""
        if self.own is not None:
            images = self.own(xp, images, sampled["uniforms"])
        return erasing.apply(xp, images, sampled["erased"]) if "erased" in sampled else images

    def _assign_columns(self):
        columns = [("window", geometry.NUM_UNIFORMS)]
        if self.policy is not None:
            columns.append(("policy", self.policy.layers * policies.UNIFORMS_PER_LAYER))
        if self.own is not None:
            columns.append(("uniforms", self.own.num_uniforms))
        if self._erasing_probability > 0:
            columns.append(("erased", erasing.NUM_UNIFORMS))
        if self.crops_photos:
            columns.append(("photo_crop", RESIZED_CROP_TRIES * _UNIFORMS_PER_TRY))
        return columns
