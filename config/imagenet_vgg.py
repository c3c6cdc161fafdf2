"""VGG-16 with batch norm on ImageNet with the penalty.

    python -m gnp.main.main --config=config/imagenet_vgg.py --working_dir=runs \\
        --config.imagenet_train_dir=FOLDER --config.imagenet_val_dir=FOLDER

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 53 hours (2.4e19 operations); not measured yet.
Test error: not measured yet; none is published for this model.
Source: settings of the recipe vggbn-imagenet.sh at github.com/zhaoyang-0204/gnp.
"""

from gnp.configs import imagenet


def get_config():
    config = imagenet.get_config()
    config.model.model_name = "VGG16BN"
    config.batch_size = 256
    config.base_lr = 0.1
    return config
