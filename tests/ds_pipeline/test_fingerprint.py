"""Data sets that differ have different fingerprints, and the same ones the same."""

import dataclasses
import time

import numpy as np
import pytest

from gnp.ds_pipeline.fingerprint import fingerprint
from gnp.ds_pipeline.labelled_data import Examples

NAMES = ["a", "b"]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def files(root, names=("a/1", "b/2", "a/3", "b/4", "a/5", "b/6")):
    return np.array([f"{root}/{name}.png" for name in names])


def test_the_place_of_the_files_does_not_matter():
    first, second = (Examples(files(root), LABELS) for root in ("/data/train", "elsewhere"))
    assert fingerprint(first, NAMES) == fingerprint(second, NAMES)


def test_decoded_files_are_those_files():
    listed = Examples(files("/data"), LABELS)
    decoded = Examples(PIXELS, LABELS, files=files("/data"))
    assert fingerprint(listed, NAMES) == fingerprint(decoded, NAMES)


@pytest.mark.parametrize("images", [PIXELS, files("/data")], ids=["pixels", "files"])
def test_images_labels_order_and_classes_matter(images):
    examples = Examples(images, LABELS)
    order = np.array([2, 1, 0, 3, 4, 5])
    others = [
        (examples, ["a", "c"]),
        (dataclasses.replace(examples, labels=LABELS[::-1].copy()), NAMES),
        (dataclasses.replace(examples, images=images[order]), NAMES),
        (examples.take(np.arange(5)), NAMES),
        (examples.take(np.arange(0)), NAMES),
    ]
    found = {fingerprint(*other) for other in [(examples, NAMES), *others]}
    assert len(found) == len(others) + 1


def test_one_pixel_and_one_name_matter():
    changed = PIXELS.copy()
    changed[3, 0, 0, 0] ^= 1
    assert fingerprint(Examples(PIXELS, LABELS), NAMES) != fingerprint(
        Examples(changed, LABELS), NAMES
    )
    renamed = files("/data", ("a/1", "b/2", "a/3", "b/4", "a/5", "b/7"))
    assert fingerprint(Examples(files("/data"), LABELS), NAMES) != fingerprint(
        Examples(renamed, LABELS), NAMES
    )


def test_names_that_are_not_text_have_one():
    paths = np.array(["/data/a/\udcff.png", "/data/b/2.png"])
    assert fingerprint(Examples(paths, LABELS[:2]), ["a", "\udcff"])


def test_it_takes_little_time():
    examples = Examples(np.zeros((10_000, 32, 32, 3), np.uint8), np.zeros(10_000, np.int64))
    start = time.process_time()
    fingerprint(examples, NAMES)
    assert time.process_time() - start < 1
