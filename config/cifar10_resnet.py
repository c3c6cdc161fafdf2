"""ResNet-50 on CIFAR-10 with the penalty.

    python -m gnp.main.main --config=config/cifar10_resnet.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 0.3 hours (1.5e17 operations); not measured yet.
Test error: not measured yet; none is published for this model. Its first layer has 16 filters.
Source: settings of the recipe resnet-cifar.sh at github.com/zhaoyang-0204/gnp.
"""

from gnp.configs import cifar10_wideresnet


def get_config():
    config = cifar10_wideresnet.get_config()
    config.model.model_name = "ResNet50"
    return config
