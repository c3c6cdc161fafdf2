"""CIFAR-10 as JPEG files in class folders, and a model small enough for two CPU cores.

    python -m gnp.main.main --config=config/cifar10_jpeg_small.py --working_dir=runs \\
        --config.dataset.data_dir=FOLDER        # holds train/<class>/*.jpg and test/<class>/*.jpg
"""

from config import image_folder


def get_config():
    config = image_folder.get_config()
    config.dataset.image_size = 32
    config.dataset.num_train_images = 5000
    config.batch_size = 100
    config.total_epochs = 2
    return config
