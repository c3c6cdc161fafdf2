"""A small model on 5,000 photographs of CIFAR-10, as JPEG files in class folders.

    python -m gnp.main.main --config=config/cifar10_jpeg_small.py --working_dir=runs \\
        --config.dataset.data_dir=FOLDER        # holds train/<class>/*.jpg and test/<class>/*.jpg

5,000 images without augmentation: few enough that standard training fits all labels, right or
wrong. --config.dataset.label_noise=0.4 redraws 40 % of them.

Hardware: two CPU cores.
Time: 3.5 minutes of standard training on one core of an AMD EPYC, 6.5 with the penalty.
Test error: 38.9 +- 0.9 %, and 41.7 +- 0.6 % without the penalty; with 40 % of the labels redrawn
48.9 +- 0.9 % and 65.6 +- 0.9 % (five seeds).
Source: RESULTS.md, measured with these settings.
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
