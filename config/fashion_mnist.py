"""WideResNet-28-10 on Fashion-MNIST, 28x28x1.

    python -m gnp.main.main --config=config/fashion_mnist.py --working_dir=runs

Hardware: one accelerator; computed for an A100, 125 TFLOP/s in bfloat16 (40 % of its peak).
Time: 0.6 hours (2.9e17 operations); not measured yet.
Test error: not measured yet.
Source: none; settings of base.py, without a penalty.

tensorflow-datasets downloads the images. --config.dataset.data_dir=FOLDER reads them from the four
.gz files that the authors publish.
"""

from gnp.configs import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "fashion_mnist"
    config.dataset.image_size = 28
    config.dataset.num_channels = 1
    return config
