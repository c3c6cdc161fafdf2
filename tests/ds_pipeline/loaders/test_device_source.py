"""The whole data set on the device: the very batches of the other sources."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from config import base
from config import digits as digits_config
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.images import decode, in_memory
from gnp.errors import UserError


def make_config(loader="device", **dataset):
    config = digits_config.get_config()
    config.dataset.update(loader=loader, image_level_augmentations="basic", cutout_length=3)
    config.dataset.update(dataset)
    return config


def on_devices(function, device_data, batch):
    """Calls a function of one device's batch on four devices, as a train step does."""
    parts = jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), batch)
    mapped = jax.pmap(function, in_axes=(None, 0))
    return jax.tree.map(
        lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), mapped(device_data, parts)
    )


@pytest.mark.parametrize("image_level", ["none", "crop", "basic"])
@pytest.mark.parametrize("batch_level", ["none", "mixup", "cutout", "mixcut", "cutmix"])
def test_training_batches_are_those_of_the_host(image_level, batch_level):
    names = {"image_level_augmentations": image_level, "batch_level_augmentations": batch_level}
    host = build_source(make_config("tfdata", random_erasing=0.5, **names))
    device = build_source(make_config(random_erasing=0.5, **names))
    batches = zip(host.train_batches(3, 20), device.train_batches(3, 20), strict=True)
    for expected, step in batches:
        given = on_devices(device.prepare, device.device_data, step)
        assert given["image"].dtype == given["label"].dtype == np.float32
        for key in expected:
            np.testing.assert_allclose(given[key], expected[key], atol=1e-5)


def test_evaluation_batches_are_those_of_the_host():
    host, device = build_source(make_config("tfdata")), build_source(make_config())
    for expected, step in zip(host.eval_batches(), device.eval_batches(), strict=True):
        given = on_devices(device.prepare_eval, device.device_data, step)
        for key in expected:
            np.testing.assert_allclose(given[key], expected[key], atol=1e-5)


def test_hosts_share_the_batch():
    config = make_config(batch_level_augmentations="mixup")
    sources = [build_source(config, process_index=p, process_count=2) for p in range(2)]
    whole = build_source(make_config("tfdata", batch_level_augmentations="mixup"))
    expected = next(whole.train_batches(0))
    parts = [s.prepare(s.device_data, next(s.train_batches(0))) for s in sources]
    for key in expected:
        given = np.concatenate([part[key] for part in parts])
        np.testing.assert_allclose(given, expected[key], atol=1e-5)


def test_images_lie_there_as_bytes_and_steps_are_small():
    source = build_source(make_config(batch_level_augmentations="mixcut"))
    assert source.device_data["train"]["image"].dtype == np.uint8
    step = next(source.train_batches(0))
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(step)) < 64 * 100


def test_host_sources_have_nothing_to_prepare():
    source = build_source(make_config("tfdata"))
    batch = next(source.train_batches(0))
    assert source.device_data is None
    assert source.prepare(None, batch) is batch


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return tmp_path


def folder_config(root):
    config = base.get_config()
    config.batch_size = 4
    config.dataset.update(
        dataset_name="image_folder",
        data_dir=str(root / "data"),
        loader="device",
        image_size=20,
        num_classes=2,
    )
    return config


def test_class_folders_are_decoded_once(root, monkeypatch):
    first = build_source(folder_config(root), run_dir=root)
    assert (root / in_memory.CACHE_FILE).exists()
    monkeypatch.setattr(decode, "read", None)
    again = build_source(folder_config(root), run_dir=root)
    jax.tree.map(np.testing.assert_array_equal, first.device_data, again.device_data)
    assert first.mean == again.mean


def test_the_cache_is_that_of_other_files(root):
    build_source(folder_config(root), run_dir=root)
    Image.new("RGB", (20, 20), "red").save(root / "data" / "train" / "a" / "0.jpg")
    source = build_source(folder_config(root), run_dir=root)
    assert source.device_data["train"]["image"][0, 0] > 250


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def save_other_arrays(file, **arrays):
    with np.load(file) as content:
        np.savez(file, **(dict(content) | arrays))


DAMAGE = {
    "no zip": lambda file: file.write_bytes(b"PK no zip"),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "a flipped byte": flip_a_byte,
    "floats": lambda file: save_other_arrays(file, train=np.zeros((8, 20, 20, 3))),
    "another shape": lambda file: save_other_arrays(file, test=np.zeros((7, 20, 20, 3), np.uint8)),
    "objects": lambda file: save_other_arrays(file, train=np.array([{}])),
    "two keys": lambda file: save_other_arrays(file, key=np.array(["a", "b"])),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_read_anew(root, damage):
    first = build_source(folder_config(root), run_dir=root)
    DAMAGE[damage](root / in_memory.CACHE_FILE)
    again = build_source(folder_config(root), run_dir=root)
    jax.tree.map(np.testing.assert_array_equal, first.device_data, again.device_data)


def test_a_full_disk_costs_the_cache_alone(root, monkeypatch, caplog):
    def full(file, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert build_source(folder_config(root), run_dir=root).num_train_images == 8
    assert "images.npz cannot be written" in caplog.text


def test_tensorflow_is_not_loaded(root):
    code = (
        "import sys, pathlib; from gnp.ds_pipeline import build; from config import base;"
        "config = base.get_config(); config.batch_size = 4;"
        "config.dataset.update(dataset_name='image_folder', loader='device', num_classes=2,"
        f" image_size=20, data_dir={str(root / 'data')!r});"
        "source = build.build_source(config);"
        "source.prepare(source.device_data, next(source.train_batches(0)));"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loader", "gpu", r"dataset\.loader 'gpu'; known"),
        ("image_level_augmentations", "autoaugment", "choose one of them, or"),
        ("dataset_name", "imagenet", "not the photos of imagenet"),
    ],
)
def test_what_the_device_cannot_do_is_refused(field, value, message):
    with pytest.raises(UserError, match=message):
        build_source(make_config(**{field: value}))
