"""The layers of our transformers and residual networks, as timm counts them."""

import re
from collections.abc import Sequence

from gnp.errors import UserError

# Pattern of a path, and the place of what it matches. Places are ordered as they are computed:
# first the stem, then the blocks by their numbers, then the last norm, then the head.
_STEM, _BLOCK, _CLASS_BLOCK, _NORM, _HEAD = range(5)
_PARTS = (
    (r"(?:cls_token|pos_embed)$|(?:patch_embed|patch_norm|Conv_0|BatchNorm_0)/", _STEM),
    (r"blocks/(\d+)/", _BLOCK),
    (r"stage(\d+)_block(\d+)/", _BLOCK),
    (r"merging(\d+)/", _BLOCK),
    (r"(?:Basic|Bottleneck)Block_(\d+)/", _BLOCK),
    (r"class_block(\d+)/", _CLASS_BLOCK),
    (r"norm/", _NORM),
    (r"(?:head|pre_logits|Dense_0)/", _HEAD),
)


def layers(paths: Sequence[str]) -> dict[str, int]:
    """The number of each parameter's layer, from 0.

    Tokens, position embeddings and patches, or the stem, come first, then each block, then the
    head. The last norm is part of the last block; a merging of patches is part of the first block
    behind it; the class blocks of CaiT are parts of its last blocks.

    Args:
      paths: of all parameters of a ViT, Swin, CaiT or ResNet, such as `blocks/0/norm1/scale`.

    Raises:
      UserError: a parameter is not of these.
    """
    places = {path: _place(path) for path in paths}
    last_block = max((p for p in places.values() if p[0] == _BLOCK), default=(_BLOCK, 0))
    # The last class block is beside the last block, each other beside that before.
    last_class_block = max((p for p in places.values() if p[0] == _CLASS_BLOCK), default=None)
    for path, (part, *numbers) in places.items():
        if part == _CLASS_BLOCK:
            places[path] = (_BLOCK, last_block[1] - last_class_block[1] + numbers[0])
        elif part == _NORM:
            places[path] = last_block
    order = sorted(set(places.values()))
    return {path: order.index(place) for path, place in places.items()}


def _place(path):
    for pattern, part in _PARTS:
        if found := re.match(pattern, path):
            numbers = tuple(map(int, found.groups()))
            return (part, *numbers, 0) if pattern.startswith("merging") else (part, *numbers)
    raise UserError(
        f"opt.layer_decay does not know which layer {path} is in; it knows those of ViT, Swin, "
        "CaiT and ResNet without scan_layers, so set opt.groups for this model."
    )
