"""The 1,797 handwritten digits that scikit-learn ships: 8 x 8, gray."""

import numpy as np
from sklearn import datasets

from gnp.ds_pipeline import partition
from gnp.ds_pipeline.examples import Examples, LabelledData

NUM_TEST = 360


def load(config) -> LabelledData:
    """1,437 images to train on and 360 to test on, by a split that is the same for every run.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    del config
    digits = datasets.load_digits()
    # Pixels are counts from 0 to 16.
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    examples = Examples(images, digits.target.astype(np.int64))
    order = partition.split_order(len(examples))
    train, test = examples.take(order[NUM_TEST:]), examples.take(order[:NUM_TEST])
    return LabelledData(
        train=train,
        test=test,
        class_names=[str(digit) for digit in range(10)],
        mean=(float(train.images.mean() / 255),),
        std=(float(train.images.std() / 255),),
    )
