"""WideResNet-28-10 on Street View House Numbers, 32x32x3, train + extra: 604,388 images, no flips.

    python -m gnp.main.main --config=config/svhn.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 8.4 hours (3.8e18 operations); not measured yet.
Test error: not measured yet.
Source: none; settings of base.py, without a penalty.

tensorflow-datasets downloads the images. --config.dataset.data_dir=FOLDER reads them from
train_32x32.mat, extra_32x32.mat and test_32x32.mat.
"""

from gnp.configs import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "svhn"
    config.dataset.image_level_augmentations = "crop"
    return config
