"""ViT-S with patches of 4 pixels on CIFAR-10, AdamW, with the penalty.

    python -m gnp.main.main --config=config/cifar10_vit.py --working_dir=runs

Test error: 12.40 % against 12.07 % without, and 10.68 % with zero warmup (three seeds;
arXiv 2406.09723). For ViT-Ti and ViT-B set model.model_name to ViT_TI16 (13.92, 14.82 and 13.61 %)
or ViT_B16 (12.36, 10.83 and 9.42 %). Work: 2.6e17 operations, 0.6 hours at 125 TFLOP/s; not
measured.
"""

from config import base


def get_config():
    config = base.get_config()
    config.model.model_name = "ViT_S16"
    config.opt.opt_type = "Adam"
    config.opt.opt_params.weight_decay = 0.3
    config.batch_size = 256
    config.base_lr = 1e-3
    config.total_epochs = 300
    config.l2_regularization = 0.0
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    return config
