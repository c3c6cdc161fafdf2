"""Whole training: the generated files, and a machine with few packages."""

import json

import pytest

from benchmark.end_to_end import compare, write_cifar10
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


@pytest.mark.usefixtures("little_installed")
def test_the_config_is_the_same_without_ml_collections(run_python):
    code = "from benchmark.jax import default_config; print(repr(default_config.get_config()))"
    assert eval(run_python("-c", code).stdout) == base.get_config().to_dict()


@pytest.mark.usefixtures("little_installed")
def test_a_contender_that_fails_is_reported_and_dropped(run_python):
    done = run_python(
        *("-m", "benchmark.end_to_end", "--contenders=gnp_device,gnp_tfdata,torch_closure"),
        *("--model=ViT_Micro", "--images=40", "--batch_size=8", "--epochs=2", "--rounds=1"),
    )
    figures = json.loads(done.stdout)
    assert figures["gnp_device"]["median_images_per_second"] > 0
    assert figures["jaxlib"]
    assert not {"gnp_tfdata", "torch_closure"} & figures.keys()
    for name in ("gnp_tfdata", "torch_closure"):
        assert f"No figure of {name}: ModuleNotFoundError" in done.stderr


def test_ratios_are_between_the_contenders_that_ran():
    figures = compare({"gnp_device": [20.0, 30.0], "bare_step": [40.0, 40.0]})
    assert figures["gnp_device/bare_step"] == 0.625
    assert figures.keys() == {"gnp_device", "bare_step", "gnp_device/bare_step"}
