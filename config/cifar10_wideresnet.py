"""WideResNet-28-10 on CIFAR-10 with the penalty.

    python -m gnp.main.main --config=config/cifar10_wideresnet.py --working_dir=runs

Test error: SAM, which differs in alpha alone, 2.7 +- 0.1 % against 3.5 +- 0.1 % without
(arXiv 2010.01412, table 1, five runs). Work: 6.3e17 operations, 1.4 hours at 125 TFLOP/s, which an
A100 reaches in bfloat16 at 40 % of its peak; not measured.
"""

from config import base


def get_config():
    config = base.get_config()
    config.model.model_name = "WideResNet_28_10"
    config.batch_size = 256
    config.base_lr = 0.1
    config.total_epochs = 200
    config.l2_regularization = 1e-3
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    return config
