"""ViT-S on CIFAR-10 as in cifar10_vit.py, with standard training for the first 40 epochs.

    python -m gnp.main.main --config=config/cifar10_vit_zero_warmup.py --working_dir=runs

Test error: 10.68 %; ViT-Ti 13.61 %, ViT-B 9.42 % (three seeds; arXiv 2406.09723). Work: 2.4e17
operations, 0.5 hours at 125 TFLOP/s; not measured.
"""

from config import cifar10_vit


def get_config():
    config = cifar10_vit.get_config()
    config.gnp.alpha = 1.0
    config.warmup_epochs = 40
    config.gr_warmup_strategy = "zero"
    return config
