"""WideResNet 26 2x96d with shake-shake on CIFAR-10 with the penalty.

    python -m gnp.main.main --config=config/cifar10_wideresnet_shakeshake.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 9 hours (4.1e18 operations); not measured yet.
Test error: 2.3 % with SAM (alpha = 1, other settings), 2.7 % without a penalty; with this
penalty not measured yet.
Source: arXiv 2010.01412, table 1, row Shake-Shake (26 2x96d), basic; settings of the recipe
wideresnet-ss-cifar.sh at github.com/zhaoyang-0204/gnp.
"""

from gnp.configs import cifar10_wideresnet


def get_config():
    config = cifar10_wideresnet.get_config()
    config.model.model_name = "WideResNet_2_96_ShakeShake"
    config.total_epochs = 1800
    return config
