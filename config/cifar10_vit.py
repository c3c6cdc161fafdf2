"""ViT-S with patches of 4 pixels on CIFAR-10, AdamW, with the penalty.

    python -m gnp.main.main --config=config/cifar10_vit.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 0.6 hours (2.6e17 operations), half of it without a penalty; not measured yet.
Test error: 12.40 %, 12.07 % without a penalty (three seeds). With model.model_name=ViT_TI16 13.92
and 14.82 %, with ViT_B16 12.36 and 10.83 %.
Source: github.com/zhaoyang-0204/gnp, for arXiv 2406.09723: errors of the README's table, columns
"Adam + GR" and "Adam"; settings of the recipe vit-cifar-basic.sh. The table does not name its
settings.
"""

from gnp.configs import base


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
