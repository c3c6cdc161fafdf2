"""ResNet-50 on CIFAR-10 with the penalty.

    python -m gnp.main.main --config=config/cifar10_resnet.py --working_dir=runs

Test error: no published figure is known for this model, whose first layer has 16 filters. Work:
1.5e17 operations, 0.3 hours at 125 TFLOP/s; not measured.
"""

from config import base


def get_config():
    config = base.get_config()
    config.model.model_name = "ResNet50"
    config.batch_size = 256
    config.base_lr = 0.1
    config.total_epochs = 200
    config.l2_regularization = 1e-3
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    return config
