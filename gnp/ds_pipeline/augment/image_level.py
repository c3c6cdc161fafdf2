"""What the image-level augmentations draw for each image, and the part all libraries share."""

import numpy as np

from gnp.ds_pipeline.augment import erasing, geometry, policies
from gnp.ds_pipeline.augment.levels import ImageLevel

RESIZED_CROP_TRIES = 10
_DRAWS_PER_TRY = 4  # area, aspect, and the two of the place


class ImageAugmentation:
    """The image-level augmentation of a run.

    Args:
      level: what is done.
      size: height and width of the images that the model gets.
      padding: pixels on each side before a crop.
      policy: what chooses the operations (see `policies`); None: no operations.
      erasing_probability: share of the images that lose a box.
      photos: crops are cut out of photos of any size while they are decoded, not out of padded
        images of the final size.
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
        self._padding = padding if level.crop and not photos else 0
        self._erasing_probability = erasing_probability
        self._columns = self._assign_columns()

    @property
    def num_draws(self) -> int:
        """Uniform numbers that one image consumes."""
        return sum(width for _, width in self._columns)

    def draw(self, uniforms: np.ndarray) -> dict[str, np.ndarray]:
        """Turns the uniform numbers of a batch into what is done to each of its images.

        Returns:
          `window` (float32, batch x 3) for `pixel_indices`; with operations `operations`,
          `arguments` and `centres` (see `policies.choose`); with erasing `erased` (boxes); for
          crops of photos `photo_crop` (float32, batch x tries x 4).
        """
        parts, start = {}, 0
        for name, width in self._columns:
            parts[name] = uniforms[:, start : start + width]
            start += width
        drawn = {"window": parts["window"].copy()}
        if "policy" in parts:
            drawn |= policies.choose(self.policy, parts["policy"])
        if "erased" in parts:
            drawn["erased"] = erasing.draw(parts["erased"], self._erasing_probability, self._size)
        if "photo_crop" in parts:
            shape = (len(uniforms), RESIZED_CROP_TRIES, _DRAWS_PER_TRY)
            drawn["photo_crop"] = parts["photo_crop"].reshape(shape).copy()
        return drawn

    def pixel_indices(self, xp, drawn):
        """Rows and columns that the padded crop and the flip take; see `geometry`."""
        return geometry.pixel_indices(xp, drawn["window"], self._size, self._padding, self.flips)

    def after_normalization(self, xp, images, drawn):
        """What is done to normalized images."""
        return erasing.apply(xp, images, drawn["erased"]) if "erased" in drawn else images

    def _assign_columns(self):
        columns = [("window", geometry.DRAWS)]
        if self.policy is not None:
            columns.append(("policy", self.policy.layers * policies.DRAWS_PER_LAYER))
        if self._erasing_probability > 0:
            columns.append(("erased", erasing.DRAWS))
        if self.crops_photos:
            columns.append(("photo_crop", RESIZED_CROP_TRIES * _DRAWS_PER_TRY))
        return columns
