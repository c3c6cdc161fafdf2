"""The 1,797 handwritten digits that scikit-learn ships: 8 x 8, gray."""

import importlib.util
import pathlib

import numpy as np

from gnp.ds_pipeline import partition
from gnp.ds_pipeline.labelled_data import Examples, LabelledData

NUM_TEST = 360


def load(config) -> LabelledData:
    """1,437 training and 360 test images; the split is the same in every run.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
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
    """Reads the data of `sklearn.datasets.load_digits` without the slow import of sklearn.

    Returns:
      Images, 1797 x 8 x 8, from 0 to 16, and labels; both int64.
    """
    (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
    file = pathlib.Path(package, "datasets", "data", "digits.csv.gz")
    rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
