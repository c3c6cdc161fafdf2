"""WideResNet 26 2x96d with shake-shake on CIFAR-10 with the penalty.

    python -m gnp.main.main --config=config/cifar10_wideresnet_shakeshake.py --working_dir=runs

Test error: SAM, which differs in alpha alone, 2.3 % against 2.7 % without (arXiv 2010.01412,
table 1). Work: 4.1e18 operations, 9 hours at 125 TFLOP/s; not measured.
"""

from config import cifar10_wideresnet


def get_config():
    config = cifar10_wideresnet.get_config()
    config.model.model_name = "WideResNet_2_96_ShakeShake"
    config.total_epochs = 1800
    return config
