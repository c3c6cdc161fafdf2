"""Fine-tunes a vision transformer on your own photographs, files in class folders.

    python -m gnp.main.main --config=config/fine_tune.py --working_dir=runs \\
        --config.init_from=vit_ti16.npz --config.dataset.data_dir=FOLDER

Hardware: one GPU; with --config.dataset.image_size=64 two CPU cores do for some hundred images.
Time: not measured yet; it is proportional to the number of images.
Test error: not measured yet; it depends on your images and on the weights.
Source: layer decay, weight decay and warmup as in BEiT (arXiv 2106.08254, appendix). The radius was
measured on photographs: docs/fine-tuning.md.

vit_ti16.npz comes from `gnp convert`; docs/fine-tuning.md has the whole example. FOLDER holds
train/<class>/* and val/<class>/*.
"""

from gnp.configs import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "image_folder"
    config.dataset.image_size = 224
    config.model.model_name = "ViT_TI16"
    config.model.model_params.patches = {"size": 16}
    config.model.model_params.approximate_gelu = False  # as in timm
    config.batch_size = 64
    config.total_epochs = 20
    config.warmup_epochs = 2
    config.base_lr = 5e-4
    config.gradient_clipping = 1.0
    config.label_smoothing = 0.1
    config.opt.opt_type = "AdamW"
    config.opt.opt_params.weight_decay = 0.05
    config.opt.layer_decay = 0.75
    config.l2_regularization = 0.0  # AdamW's decay alone
    config.no_weight_decay_on_bn = True
    config.gnp.r = 0.02
    config.gnp.alpha = 0.8
    return config
