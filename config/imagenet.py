"""ResNet-50 on ImageNet at 224x224x3, or on your own photos in class folders, with the penalty.

    python -m gnp.main.main --config=config/imagenet.py --working_dir=runs \\
        --config.imagenet_train_dir=FOLDER --config.imagenet_val_dir=FOLDER

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 14 hours (6.3e18 operations); not measured yet.
Test error: 22.5 % with SAM (other settings), 22.9 % without a penalty (100 epochs); with
this penalty not measured yet. SAM with model.model_name=ResNet101 20.2 and 21.2 %, with ResNet152
19.2 and 20.4 %.
Source: arXiv 2010.01412, table 2, rows of 100 epochs; settings of the recipe resnet-imagenet.sh at
github.com/zhaoyang-0204/gnp.

Each folder holds <class>/*.JPEG. Set dataset.num_classes for another number of classes.
"""

from gnp.configs import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "imagenet"
    config.dataset.image_size = 224
    config.dataset.num_classes = 1000
    config.model.model_name = "ResNet50"
    config.batch_size = 512
    config.base_lr = 0.2
    config.total_epochs = 100
    config.l2_regularization = 1e-4
    config.gnp.r = 0.05
    config.gnp.alpha = 0.8
    return config
