"""ViT-S on CIFAR-10 as in cifar10_vit.py, with standard training for the first 40 epochs.

    python -m gnp.main.main --config=config/cifar10_vit_zero_warmup.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 0.5 hours (2.4e17 operations); not measured yet.
Test error: 10.68 % (three seeds); with model.model_name=ViT_TI16 13.61 %, with ViT_B16 9.42 %.
Source: table and recipes at github.com/zhaoyang-0204/gnp, for arXiv 2406.09723.
"""

from gnp.configs import cifar10_vit


def get_config():
    config = cifar10_vit.get_config()
    config.gnp.alpha = 1.0
    config.warmup_epochs = 40
    config.gr_warmup_strategy = "zero"
    return config
