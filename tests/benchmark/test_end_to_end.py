"""The made-up files are those that the data source reads."""

import pytest

from benchmark.end_to_end import write_cifar10
from config import base
from gnp.ds_pipeline.build import build_source


def test_the_files_are_read_as_cifar10(tmp_path):
    pytest.importorskip("tensorflow")
    write_cifar10(tmp_path / "cifar-10-batches-py", 20)
    config = base.get_config()
    config.dataset.data_dir = str(tmp_path)
    config.batch_size = 4
    source = build_source(config)
    assert (source.num_train_images, source.num_eval_images) == (20, 100)
    assert source.image_shape == (32, 32, 3)
