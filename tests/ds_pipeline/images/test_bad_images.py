"""What people really have in their folders."""

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from config import base
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.images import bad_images, decode
from gnp.errors import UserError


def encoded(image_format, mode="RGB", size=(24, 20), **options):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def bomb(side):
    """A PNG of a few hundred bytes that claims side x side pixels."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def jpeg_bomb(side):
    """The same as a JPEG: the height and width in its header are overwritten."""
    content = bytearray(encoded("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(content)


def sixteen_bit(mode):
    levels = np.linspace(0, 65535, 24 * 20).reshape(20, 24)
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint16)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def animated():
    frames = [Image.new("RGB", (24, 20), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


# Name in the folder -> content.
GOOD = {
    "plain.jpg": encoded("JPEG"),
    "png named.JPEG": encoded("PNG"),
    "webp named.jpeg": encoded("WEBP"),
    "cmyk.jpg": encoded("JPEG", "CMYK"),
    "gray.jpg": encoded("JPEG", "L"),
    "gray alpha.png": encoded("PNG", "LA"),
    "palette.png": encoded("PNG", "P"),
    "alpha.png": encoded("PNG", "RGBA"),
    "sixteen.png": sixteen_bit("I;16"),
    "animated.gif": animated(),
    "one pixel.png": encoded("PNG", size=(1, 1)),
    "wide.png": encoded("PNG", size=(3000, 2)),
    "größe 図.png": encoded("PNG"),
}
BAD = {
    "empty.jpg": b"",
    "truncated.jpg": encoded("JPEG", size=(200, 200))[:900],
    "truncated.png": encoded("PNG", size=(200, 200))[:9000],
    "text.png": b"I am no image",
    "html.jpg": b"<!doctype html><title>404</title>" * 50,
    "magic only.jpg": b"\xff\xd8\xff\xe0",
    "noise after magic.jpg": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20,
    "bomb.png": bomb(50_000),
    "bomb.jpg": jpeg_bomb(30_000),
}
IGNORED = {"notes.txt": b"stray", "Thumbs.db": b"stray", ".hidden.jpg": b"", "._mac.jpg": b"stray"}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "train" / "a class", GOOD | IGNORED)
    write(tmp_path / "train" / "b", {f"{i}.jpg": encoded("JPEG") for i in range(4)})
    for name in ("a class", "b"):
        write(tmp_path / "val" / name, {"1.jpg": encoded("JPEG"), "stray.md": b"#"})
    return tmp_path


def make_config(root, kind, **dataset):
    config = base.get_config()
    config.batch_size = 4
    config.dataset.update(dataset_name=kind, image_size=16, num_classes=2)
    config.dataset.update(data_dir=str(root), **dataset)
    config.imagenet_train_dir = str(root / "train")
    config.imagenet_val_dir = str(root / "val")
    return config


def one_epoch(source):
    train = sum(len(batch["image"]) for batch in source.train_batches(0))
    return train, int(sum(batch["mask"].sum() for batch in source.eval_batches()))


# In memory, streamed as squares, streamed as photos.
KINDS = {
    "memory": {"kind": "image_folder"},
    "streamed": {"kind": "image_folder", "memory_limit_gb": 0.0},
    "photos": {"kind": "imagenet"},
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_is_decoded(name, channels):
    pixels = decode.decode(GOOD[name], channels)
    assert pixels.dtype == np.uint8
    assert pixels.shape[-1] == channels
    assert decode.square(pixels, 16).shape == (16, 16, channels)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_refused(name):
    with pytest.raises(decode.BadImage):
        decode.decode(BAD[name], 3)


@pytest.mark.parametrize("content", [bomb(12_000), jpeg_bomb(12_000)], ids=["png", "jpeg"])
def test_a_bomb_is_refused_before_it_is_decoded(content):
    with pytest.raises(decode.BadImage, match="claims 12000x12000 pixels"):
        decode.decode(content, 3)


def test_sixteen_bits_keep_their_range():
    pixels = decode.decode(GOOD["sixteen.png"], 1)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert 120 < np.median(pixels) < 136


def test_the_first_frame_of_an_animation_is_taken():
    assert decode.decode(GOOD["animated.gif"], 3)[0, 0].tolist() == [255, 0, 0]


def test_cmyk_keeps_its_colours():
    red = io.BytesIO()
    Image.new("RGB", (8, 8), "red").convert("CMYK").save(red, "JPEG")
    assert np.abs(decode.decode(red.getvalue(), 3)[0, 0].astype(int) - [255, 0, 0]).max() < 10


@pytest.mark.parametrize("kind", KINDS)
def test_good_files_are_all_used(root, kind):
    source = build_source(make_config(root, **KINDS[kind]))
    assert (source.num_train_images, source.num_eval_images) == (len(GOOD) + 4, 2)
    assert one_epoch(source) == (16, 2)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", KINDS)
def test_error_names_the_file_in_the_first_pass(root, kind, bad):
    write(root / "train" / "b", {bad: BAD[bad]})
    config = make_config(root, **KINDS[kind])
    config.batch_size = len(GOOD) + 5
    with pytest.raises(UserError, match=f"b/{bad} cannot be used"):
        one_epoch(build_source(config))


@pytest.mark.parametrize("kind", KINDS)
def test_skip_leaves_them_out_and_lists_them(root, tmp_path, kind):
    write(root / "train" / "b", BAD)
    write(root / "val" / "b", {"empty.jpg": b""})
    run = tmp_path / "run"
    run.mkdir()
    config = make_config(root, on_bad_image="skip", **KINDS[kind])
    source = build_source(config, run_dir=run)
    assert (source.num_train_images, source.num_eval_images) == (len(GOOD) + 4, 2)
    assert one_epoch(source) == (16, 2)
    listed = json.loads((run / bad_images.SKIPPED_FILE).read_text())
    assert {Path(path).name for path in listed} == set(BAD)
    assert len(listed) == len(BAD) + 1
    assert all(len(why) > 5 for why in listed.values())


def test_skip_reads_the_list_of_an_earlier_start(root, tmp_path, monkeypatch):
    write(root / "train" / "b", {"empty.jpg": b""})
    config = make_config(root, "imagenet", on_bad_image="skip")
    first = build_source(config, run_dir=tmp_path)
    monkeypatch.setattr(bad_images, "find_bad_images", None)
    assert build_source(config, run_dir=tmp_path).num_train_images == first.num_train_images


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": ', b"\xff"])
def test_a_damaged_list_is_named(root, tmp_path, content):
    (tmp_path / bad_images.SKIPPED_FILE).write_bytes(content)
    config = make_config(root, "imagenet", on_bad_image="skip")
    with pytest.raises(UserError, match=r"skipped_images\.json is damaged .*; fix or remove it"):
        build_source(config, run_dir=tmp_path)


@pytest.mark.parametrize(
    "name", [b"not text \xff.jpg", b"a\tb.jpg", "line\u2028break.jpg".encode()]
)
def test_a_bad_file_may_have_any_name(root, tmp_path, name):
    (root / "train" / "b" / os.fsdecode(name)).write_bytes(b"")
    config = make_config(root, "imagenet", on_bad_image="skip")
    first, again = (build_source(config, run_dir=tmp_path) for _ in range(2))
    assert first.num_train_images == again.num_train_images == len(GOOD) + 4


def test_a_set_of_bad_files_alone_is_refused(root):
    for path in (root / "val").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="No image of the test set can be used"):
        build_source(make_config(root, "image_folder", on_bad_image="skip"))


def test_an_empty_class_folder_is_named(root):
    (root / "train" / "c").mkdir()
    with pytest.raises(UserError, match=r"train/c .* has no images"):
        build_source(make_config(root, "image_folder"))


def test_a_class_that_training_lacks_is_named(root):
    write(root / "val" / "c", {"1.jpg": encoded("JPEG")})
    with pytest.raises(UserError, match="the class 'c', which the training set lacks"):
        build_source(make_config(root, "image_folder"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("kind", KINDS)
def test_an_unreadable_file_is_named(root, kind):
    (root / "train" / "b" / "0.jpg").chmod(0)
    with pytest.raises(UserError, match=r"b/0\.jpg cannot be read"):
        one_epoch(build_source(make_config(root, **KINDS[kind])))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_vanished_is_named(root, kind):
    (root / "train" / "b" / "gone.jpg").symlink_to(root / "nowhere")
    config = make_config(root, **KINDS[kind])
    config.batch_size = len(GOOD) + 5
    with pytest.raises(UserError, match=r"b/gone\.jpg cannot be read: No such file"):
        one_epoch(build_source(config))


def test_streamed_squares_are_those_in_memory(root):
    batches = [
        next(build_source(make_config(root, **KINDS[kind])).train_batches(0))
        for kind in ("memory", "streamed")
    ]
    np.testing.assert_array_equal(batches[0]["label"], batches[1]["label"])
    np.testing.assert_allclose(batches[0]["image"], batches[1]["image"], atol=1e-5)


def test_unknown_way_with_bad_images(root):
    with pytest.raises(UserError, match=r"dataset\.on_bad_image 'ignore'"):
        build_source(make_config(root, "image_folder", on_bad_image="ignore"))
