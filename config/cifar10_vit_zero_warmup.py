"""ViT-S on CIFAR-10, with standard training for the first 40 epochs.

    python -m gnp.main.main --config=config/cifar10_vit_zero_warmup.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 0.5 hours (2.4e17 operations); not measured yet.
Test error: 10.68 % (three seeds); with model.model_name=ViT_TI16 13.61 %, with ViT_B16 9.42 %.
Source: github.com/zhaoyang-0204/gnp, for arXiv 2406.09723: errors of the README's table, column
"Adam + GR + Zero-GR-Warmup"; settings of the recipe vit-cifar-basic-grwarmup.sh. The table does not
name its settings.

It differs from cifar10_vit.py in three fields, as the published recipe does: the penalty starts
after 40 epochs, alpha is 1 in the place of 0.8, and the learning rate is warmed up for 40 epochs.
"""

from gnp.configs import cifar10_vit


def get_config():
    config = cifar10_vit.get_config()
    config.gnp.alpha = 1.0
    config.warmup_epochs = 40
    config.gr_warmup_strategy = "zero"
    return config
