"""Choice and strength of the operations of each image. Needs only numpy."""

import numpy as np

from gnp.ds_pipeline import rng
from gnp.ds_pipeline.augment.policy_tables import POLICIES

OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "SolarizeAdd",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
)
NO_OPERATION = len(OPERATIONS)

UNIFORMS_PER_LAYER = 5  # choice, strength or probability, sign, row and column of a centre

MAX_LEVEL = 10
_SAMPLE = 10_000  # images to estimate a share of
_SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")

# The two methods differ in the strongest translation and cutout, in pixels.
_AUTOAUGMENT_PIXELS = {"Translate": 250, "Cutout": 100}
_RANDAUGMENT_PIXELS = {"Translate": 100, "Cutout": 40}


def argument(operation: str, level: float, pixels: dict[str, int]) -> float:
    """The argument of an operation at a level from 0 to 10, in the operation's unit."""
    part = level / MAX_LEVEL
    if operation == "Rotate":
        return part * 30
    if operation == "Posterize":
        return int(part * 4)
    if operation == "Solarize":
        return int(part * 256)
    if operation == "SolarizeAdd":
        return int(part * 110)
    if operation in ("Color", "Contrast", "Brightness", "Sharpness"):
        return part * 1.8 + 0.1
    if operation in ("ShearX", "ShearY"):
        return part * 0.3
    if operation in ("TranslateX", "TranslateY"):
        return part * pixels["Translate"]
    if operation == "Cutout":
        return int(part * pixels["Cutout"])
    return 0.0


class AutoAugment:
    """A sub-policy of two operations, applied with their probabilities (arXiv 1805.09501)."""

    layers = 2

    def __init__(self, policy: str):
        table = POLICIES[policy]
        self._operations = np.array([[OPERATIONS.index(n) for n, _, _ in sub] for sub in table])
        self._probabilities = np.array([[p for _, p, _ in sub] for sub in table])
        self._arguments = np.array(
            [[argument(n, level, _AUTOAUGMENT_PIXELS) for n, _, level in sub] for sub in table]
        )

    def choose(self, uniforms: np.ndarray) -> dict[str, np.ndarray]:
        """See `choose`."""
        chosen = _pick(uniforms[:, 0, 0], len(self._operations))
        applied = uniforms[:, :, 1] < self._probabilities[chosen]
        operations = np.where(applied, self._operations[chosen], NO_OPERATION)
        arguments = _with_signs(operations, self._arguments[chosen], uniforms)
        return _layers(operations, arguments, uniforms)


class RandAugment:
    """Layers of operations sampled from all sixteen, always applied (arXiv 1909.13719).

    Args:
      layers: operations per image.
      magnitude: level of each, usually 0 to 10.
    """

    def __init__(self, layers: int, magnitude: float):
        self.layers = layers
        self._arguments = np.array(
            [argument(name, magnitude, _RANDAUGMENT_PIXELS) for name in OPERATIONS]
        )

    def choose(self, uniforms: np.ndarray) -> dict[str, np.ndarray]:
        """See `choose`."""
        operations = _pick(uniforms[:, :, 0], len(OPERATIONS))
        arguments = _with_signs(operations, self._arguments[operations], uniforms)
        return _layers(operations, arguments, uniforms)


class TrivialAugment:
    """One operation of random strength, without parameters (arXiv 2103.10158, wide space)."""

    layers = 1

    # Operation -> argument, a function of the strength (0 to 1) and the strength with random sign.
    _SPACE = (
        ("AutoContrast", lambda part, signed: 0 * part),
        ("Equalize", lambda part, signed: 0 * part),
        ("Rotate", lambda part, signed: 135 * signed),
        ("Posterize", lambda part, signed: 8 - np.round(6 * part)),
        ("Solarize", lambda part, signed: 255 * (1 - part)),
        ("Color", lambda part, signed: 1 + 0.99 * signed),
        ("Contrast", lambda part, signed: 1 + 0.99 * signed),
        ("Brightness", lambda part, signed: 1 + 0.99 * signed),
        ("Sharpness", lambda part, signed: 1 + 0.99 * signed),
        ("ShearX", lambda part, signed: 0.99 * signed),
        ("ShearY", lambda part, signed: 0.99 * signed),
        ("TranslateX", lambda part, signed: 32 * signed),
        ("TranslateY", lambda part, signed: 32 * signed),
    )
    _LEVELS = 31

    def choose(self, uniforms: np.ndarray) -> dict[str, np.ndarray]:
        """See `choose`."""
        space = np.array([OPERATIONS.index(name) for name, _ in self._SPACE] + [NO_OPERATION])
        chosen = _pick(uniforms[:, :, 0], len(space))
        part = _pick(uniforms[:, :, 1], self._LEVELS) / (self._LEVELS - 1)
        signed = part * _signs(uniforms)
        strengths = [strength(part, signed) for _, strength in self._SPACE] + [0 * part]
        arguments = np.choose(chosen, strengths)
        return _layers(space[chosen], arguments, uniforms)


def choose(policy, uniforms: np.ndarray) -> dict[str, np.ndarray]:
    """Chooses the operations of a batch.

    Args:
      policy: an AutoAugment, RandAugment or TrivialAugment.
      uniforms: float32, batch x (policy.layers * UNIFORMS_PER_LAYER), uniform in [0, 1).

    Returns:
      `operations` (int32, batch x layers: places in OPERATIONS, or NO_OPERATION), `arguments`
      (float32, batch x layers) and `centres` (float32, batch x layers x 2).
    """
    return policy.choose(uniforms.reshape(len(uniforms), policy.layers, UNIFORMS_PER_LAYER))


def share_blanked(policy, size: int) -> float:
    """The share of the images of which a translation or cutout leaves nothing, from a sample.

    Args:
      policy: as in `choose`.
      size: height and width of the images.
    """
    uniforms = rng.uniforms((rng.SPLIT, 0), 0, _SAMPLE, policy.layers * UNIFORMS_PER_LAYER)
    chosen = choose(policy, uniforms)
    places = [OPERATIONS.index(name) for name in ("TranslateX", "TranslateY", "Cutout")]
    is_blank = np.isin(chosen["operations"], places) & (np.abs(chosen["arguments"]) >= size)
    return float(is_blank.any(1).mean())


def _with_signs(operations, arguments, uniforms):
    signed = np.isin(operations, [OPERATIONS.index(name) for name in _SIGNED])
    return np.where(signed, arguments * _signs(uniforms), arguments)


def _signs(uniforms):
    return np.where(uniforms[:, :, 2] < 0.5, -1, 1)


def _layers(operations, arguments, uniforms):
    return {
        "operations": operations.astype(np.int32),
        "arguments": arguments.astype(np.float32),
        "centres": uniforms[:, :, 3:5].copy(),
    }


def _pick(uniforms, count):
    """Integers from 0 to count - 1 from uniform numbers in [0, 1)."""
    return (uniforms * np.float32(count)).astype(np.int64).clip(0, count - 1)
