"""VGG-16 with batch norm on ImageNet with the penalty.

    python -m gnp.main.main --config=config/imagenet_vgg.py --working_dir=runs \\
        --config.imagenet_train_dir=FOLDER --config.imagenet_val_dir=FOLDER

Test error: no published figure is known. Work: 2.4e19 operations, 53 hours at 125 TFLOP/s; not
measured.
"""

from config import imagenet


def get_config():
    config = imagenet.get_config()
    config.model.model_name = "VGG16BN"
    config.batch_size = 256
    config.base_lr = 0.1
    return config
