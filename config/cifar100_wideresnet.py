"""WideResNet-28-10 on CIFAR-100 with the penalty.

    python -m gnp.main.main --config=config/cifar100_wideresnet.py --working_dir=runs

Test error: SAM, which differs in alpha alone, 16.5 +- 0.2 % against 18.8 +- 0.2 % without
(arXiv 2010.01412, table 1, five runs). Work: 6.3e17 operations, 1.4 hours at 125 TFLOP/s, which an
A100 reaches in bfloat16 at 40 % of its peak; not measured.
"""

from config import cifar10_wideresnet


def get_config():
    config = cifar10_wideresnet.get_config()
    config.dataset.dataset_name = "cifar100"
    config.dataset.num_classes = 100
    return config
