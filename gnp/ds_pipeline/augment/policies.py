"""Which operations an image gets, and how strong. Needs numpy alone."""

import numpy as np

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

DRAWS_PER_LAYER = 5  # choice, strength or probability, sign, and the two of a centre

MAX_LEVEL = 10
_SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")

# Where the two methods differ: the strongest translation and cutout, in pixels.
_AUTOAUGMENT_PIXELS = {"Translate": 250, "Cutout": 100}
_RANDAUGMENT_PIXELS = {"Translate": 100, "Cutout": 40}


def argument(operation: str, level: float, pixels: dict[str, int]) -> float:
    """The strength of an operation at a level from 0 to 10, in the operation's unit."""
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
    """One sub-policy of two operations, each applied with its probability (arXiv 1805.09501)."""

    layers = 2

    def __init__(self, policy: str):
        table = POLICIES[policy]
        self._operations = np.array([[OPERATIONS.index(n) for n, _, _ in sub] for sub in table])
        self._probabilities = np.array([[p for _, p, _ in sub] for sub in table])
        self._arguments = np.array(
            [[argument(n, level, _AUTOAUGMENT_PIXELS) for n, _, level in sub] for sub in table]
        )

    def choose(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """See `choose`."""
        chosen = _pick(draws[:, 0, 0], len(self._operations))
        applied = draws[:, :, 1] < self._probabilities[chosen]
        operations = np.where(applied, self._operations[chosen], NO_OPERATION)
        arguments = _with_signs(operations, self._arguments[chosen], draws)
        return _layers(operations, arguments, draws)


class RandAugment:
    """Layers of operations drawn from all sixteen, always applied (arXiv 1909.13719).

    Args:
      layers: operations per image.
      magnitude: level of each, usually 0 to 10.
    """

    def __init__(self, layers: int, magnitude: float):
        self.layers = layers
        self._arguments = np.array(
            [argument(name, magnitude, _RANDAUGMENT_PIXELS) for name in OPERATIONS]
        )

    def choose(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """See `choose`."""
        operations = _pick(draws[:, :, 0], len(OPERATIONS))
        arguments = _with_signs(operations, self._arguments[operations], draws)
        return _layers(operations, arguments, draws)


class TrivialAugment:
    """One operation of any strength, with nothing to tune (arXiv 2103.10158, wide space)."""

    layers = 1

    # Operation -> its argument, from a strength of 0 to 1 and from the same with a drawn sign.
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

    def choose(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """See `choose`."""
        space = np.array([OPERATIONS.index(name) for name, _ in self._SPACE] + [NO_OPERATION])
        chosen = _pick(draws[:, :, 0], len(space))
        part = _pick(draws[:, :, 1], self._LEVELS) / (self._LEVELS - 1)
        signed = part * _signs(draws)
        strengths = [strength(part, signed) for _, strength in self._SPACE] + [0 * part]
        arguments = np.choose(chosen, strengths)
        return _layers(space[chosen], arguments, draws)


def choose(policy, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Chooses the operations of a batch.

    Args:
      policy: an AutoAugment, RandAugment or TrivialAugment.
      draws: float32, batch x (policy.layers * DRAWS_PER_LAYER), uniform in [0, 1).

    Returns:
      `operations` (int32, batch x layers: places in OPERATIONS, or NO_OPERATION), `arguments`
      (float32, batch x layers) and `centres` (float32, batch x layers x 2).
    """
    return policy.choose(draws.reshape(len(draws), policy.layers, DRAWS_PER_LAYER))


def _with_signs(operations, arguments, draws):
    signed = np.isin(operations, [OPERATIONS.index(name) for name in _SIGNED])
    return np.where(signed, arguments * _signs(draws), arguments)


def _signs(draws):
    return np.where(draws[:, :, 2] < 0.5, -1, 1)


def _layers(operations, arguments, draws):
    return {
        "operations": operations.astype(np.int32),
        "arguments": arguments.astype(np.float32),
        "centres": draws[:, :, 3:5].copy(),
    }


def _pick(draws, count):
    """Uniform numbers in [0, 1) to integers from 0 to count - 1."""
    return (draws * np.float32(count)).astype(np.int64).clip(0, count - 1)
