"""WideResNet-28-10 on CIFAR-100 with the penalty.

    python -m gnp.main.main --config=config/cifar100_wideresnet.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 1.4 hours (6.3e17 operations); not measured yet.
Test error: 16.5 +- 0.2 % with SAM (alpha = 1, other settings), 18.8 +- 0.2 % without a penalty
(five seeds); with this penalty not measured yet.
Source: arXiv 2010.01412, table 1, rows WRN-28-10 (200 epochs), basic; settings of
cifar10_wideresnet.py.

Other models: to train cifar10_wideresnet_shakeshake.py and cifar10_pyramidnet_shakedrop.py on
CIFAR-100, set --config.dataset.dataset_name=cifar100 --config.dataset.num_classes=100. SAM has
15.1 % there (17.0 % without) and, with AutoAugment, 10.3 % (10.6 % without).
"""

from gnp.configs import cifar10_wideresnet


def get_config():
    config = cifar10_wideresnet.get_config()
    config.dataset.dataset_name = "cifar100"
    config.dataset.num_classes = 100
    return config
