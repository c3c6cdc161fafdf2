"""ImageNet at 224x224x3, or photos of your own in class folders.

    python -m gnp.main.main --config=config/imagenet.py --working_dir=runs \\
        --config.imagenet_train_dir=FOLDER --config.imagenet_val_dir=FOLDER

Each folder holds <class>/*.JPEG. For other numbers of classes set dataset.num_classes.
"""

from config import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "imagenet"
    config.dataset.image_size = 224
    config.dataset.num_classes = 1000
    config.model.model_name = "ResNet50"
    config.batch_size = 512
    config.base_lr = 0.2
    config.total_epochs = 100
    config.l2_regularization = 1e-4
    config.gnp.r = 0.05
    config.gnp.alpha = 0.8
    return config
