"""The 1,797 handwritten digits that are part of the package: 8 x 8, gray.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, the test set;
doi 10.24432/C50P49, license CC BY 4.0.
"""

import pathlib

import numpy as np

from gnp.ds_pipeline import partition
from gnp.ds_pipeline.labelled_data import Examples, LabelledData

NUM_TEST = 360
_FILE = pathlib.Path(__file__).with_name("digits.npz")


def load(config) -> LabelledData:
    """1,437 training and 360 test images; the split is the same in every run."""
    del config
    pixels, labels = read_digits()
    # Pixels are counts from 0 to 16.
    images = np.round(pixels * (255 / 16)).astype(np.uint8)[..., None]
    examples = Examples(images, labels)
    order = partition.split_order(len(examples))
    train, test = examples.take(order[NUM_TEST:]), examples.take(order[:NUM_TEST])
    return LabelledData(
        train=train,
        test=test,
        class_names=[str(digit) for digit in range(10)],
        mean=(float(train.images.mean() / 255),),
        std=(float(train.images.std() / 255),),
    )


def num_classes(config) -> int:
    """Ten."""
    del config
    return 10


def num_channels(config) -> int:
    """One: gray."""
    del config
    return 1


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The images, 1797 x 8 x 8, from 0 to 16, and the labels, both int64.

    They are those of `sklearn.datasets.load_digits`, in the same order.
    """
    with np.load(_FILE) as file:
        return file["images"].astype(np.int64), file["labels"].astype(np.int64)
