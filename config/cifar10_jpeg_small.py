"""A small model for two CPU cores on CIFAR-10, as JPEG files in class folders.

    python -m gnp.main.main --config=config/cifar10_jpeg_small.py --working_dir=runs \\
        --config.dataset.data_dir=FOLDER        # holds train/<class>/*.jpg and test/<class>/*.jpg

Hardware: two CPU cores.
Time: 3.5 minutes for eight epochs of 10,000 images on an AMD EPYC; with these settings not measured
yet.
Test error: 38.35 +- 0.31 % after eight epochs of 10,000 images, 35.98 +- 0.36 % without the penalty
(three seeds); with these settings not measured yet.
Source: RESULTS.md.
"""

from gnp.configs import image_folder


def get_config():
    config = image_folder.get_config()
    config.dataset.image_size = 32
    config.dataset.num_train_images = 5000
    # Without augmentation the model can memorize all labels, right and wrong.
    config.dataset.image_level_augmentations = "none"
    config.batch_size = 64
    config.l2_regularization = 1e-4
    config.total_epochs = 30
    config.gnp.r = 0.25
    return config
