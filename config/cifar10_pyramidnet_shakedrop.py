"""PyramidNet-272 (alpha 200) with ShakeDrop on CIFAR-10, AutoAugment and mixcut, with the penalty.

    python -m gnp.main.main --config=config/cifar10_pyramidnet_shakedrop.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 11 hours (4.9e18 operations); not measured yet.
Test error: 1.4 % with SAM and AutoAugment (other settings), 1.6 % without a penalty; with this
penalty not measured yet.
Source: arXiv 2010.01412, table 1, row PyramidNet+ShakeDrop, AA; settings of the recipe
pyramidnet-sd-cifar.sh at github.com/zhaoyang-0204/gnp.
"""

from gnp.configs import base


def get_config():
    config = base.get_config()
    config.dataset.image_level_augmentations = "autoaugment"
    config.dataset.batch_level_augmentations = "mixcut"
    config.model.model_name = "PyramidNet_272_200_ShakeDrop"
    config.batch_size = 128
    config.base_lr = 0.05
    config.total_epochs = 1800
    config.l2_regularization = 5e-4
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    return config
