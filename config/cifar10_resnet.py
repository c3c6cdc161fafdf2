"""ResNet-50 on CIFAR-10 with the penalty.

    python -m gnp.main.main --config=config/cifar10_resnet.py --working_dir=runs

Test error: no published figure is known for this model, whose first layer has 16 filters. Work:
1.5e17 operations, 0.3 hours at 125 TFLOP/s; not measured.
"""

from config import cifar10_wideresnet


def get_config():
    config = cifar10_wideresnet.get_config()
    config.model.model_name = "ResNet50"
    return config
