"""CIFAR-10 as JPEG files in class folders, and a model small enough for two CPU cores.

    python -m gnp.main.main --config=config/cifar10_jpeg_small.py --working_dir=runs \\
        --config.dataset.data_dir=FOLDER        # holds train/<class>/*.jpg and test/<class>/*.jpg
"""

from config import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "image_folder"
    config.dataset.num_train_images = 5000
    config.model.model_name = "WideResNet_10_1"
    config.batch_size = 100
    config.total_epochs = 2
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    return config
