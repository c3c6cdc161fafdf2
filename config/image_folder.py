"""A small model for two CPU cores on your own images, files in class folders.

    python -m gnp.main.main --config=config/image_folder.py --working_dir=runs \\
        --config.dataset.data_dir=FOLDER --config.dataset.num_classes=5

Hardware: two CPU cores.
Time: not measured yet; it is proportional to the number of images.
Test error: not measured yet; it depends on your images.
Source: none; r and alpha are those of the recipes at github.com/zhaoyang-0204/gnp for CIFAR-10.

FOLDER holds train/<class>/* and val/<class>/* (or valid, validation, test). On an accelerator, use
a larger model and larger images: --config.model.model_name=WideResNet_28_10
--config.dataset.image_size=128.
"""

from gnp.configs import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "image_folder"
    config.dataset.image_size = 64
    config.model.model_name = "WideResNet_10_1"
    config.batch_size = 32
    config.total_epochs = 30
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    return config
