"""CIFAR-100, 32x32x3.

    python -m gnp.main.main --config=config/cifar100.py --working_dir=runs

Downloads the set through tensorflow-datasets; with --config.dataset.data_dir=FOLDER it is read from
what cifar-100-python.tar.gz unpacks to.
"""

from config import base


def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "cifar100"
    config.dataset.num_classes = 100
    return config
