"""Which pixels an image file becomes: orientation, transparency, range, shape and format."""

import io
import logging
import os
import stat
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from config import base
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.images import decode
from gnp.errors import UserError

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encoded(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(10))
def test_images_are_turned_upright(image_format, orientation):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:6, :9] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = encoded(Image.fromarray(pixels), image_format, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode.decode(content, 3), expected)
    if image_format == "JPEG":
        assert decode.is_turned(content) == (2 <= orientation <= 8)


def test_damaged_exif_data_do_not_matter():
    content = encoded(Image.fromarray(RAMP), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert decode.decode(content, 1).shape == (16, 16, 1)


def with_alpha(mode):
    """A black disc on transparency."""
    rows, columns = np.mgrid[:16, :16]
    disc = ((rows - 8) ** 2 + (columns - 8) ** 2 < 25).astype(np.uint8)
    zeros = np.zeros_like(disc)
    if mode == "P":
        image = Image.fromarray(1 - disc, "P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        return disc, encoded(image, transparency=1)
    if mode == "gray with a transparent level":
        return disc, encoded(Image.fromarray(np.where(disc, 0, 7).astype(np.uint8)), transparency=7)
    if mode == "16 bits with a transparent level":
        levels = np.where(disc, 0, 7).astype(np.uint16)
        levels[0, 0] = 65535
        return disc, encoded(Image.fromarray(levels), transparency=7)
    channels = {"LA": [zeros, 255 * disc], "RGBA": [zeros, zeros, zeros, 255 * disc]}[mode]
    return disc, encoded(Image.fromarray(np.stack(channels, -1)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "mode",
    ["LA", "RGBA", "P", "gray with a transparent level", "16 bits with a transparent level"],
)
def test_transparency_is_composited_on_white(mode, channels):
    disc, content = with_alpha(mode)
    expected = np.repeat(255 * (1 - disc)[..., None], channels, -1)
    np.testing.assert_array_equal(decode.decode(content, channels), expected)


def test_half_transparent_pixels_are_mixed_with_white():
    content = encoded(Image.fromarray(np.uint8([[[0, 100, 200, 51], [9, 8, 7, 255]]])))
    assert decode.decode(content, 3).tolist() == [[[204, 224, 244], [9, 8, 7]]]


def test_opaque_images_keep_their_pixels():
    pixels = np.stack([RAMP, RAMP.T, RAMP[::-1]], -1)
    opaque = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1)
    content = encoded(Image.fromarray(opaque))
    np.testing.assert_array_equal(decode.decode(content, 3), pixels)


def test_where_nothing_is_opaque_transparency_means_nothing():
    """Such as the unused fourth byte of old BMP and TGA files."""
    pixels = np.stack([RAMP, RAMP, RAMP, np.zeros_like(RAMP)], -1)
    content = encoded(Image.fromarray(pixels))
    np.testing.assert_array_equal(decode.decode(content, 1)[..., 0], RAMP)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_are_scaled_to_eight(image_format):
    content = encoded(Image.fromarray(RAMP.astype(np.uint16) * 257), image_format)
    np.testing.assert_array_equal(decode.decode(content, 1)[..., 0], RAMP)


def test_a_pgm_has_its_own_range():
    levels = (RAMP.astype(np.uint16) * 16 + 15).astype(">u2")
    found = decode.decode(b"P5 16 16 4095\n" + levels.tobytes(), 1)[..., 0]
    np.testing.assert_allclose(found, RAMP, atol=1)


def test_a_tiff_whose_white_is_zero_is_inverted():
    levels = RAMP.astype(np.uint16) * 257
    content = encoded(Image.fromarray(levels), "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(content)) as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_array_equal(decode.decode(content, 1)[..., 0], 255 - RAMP)


def rgb_of_16_bits(levels):
    """A PNG, as Pillow writes none of this kind."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = np.repeat(levels[..., None], 3, -1).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


UNKNOWN_RANGE = {
    "12 bits in a PNG": encoded(Image.fromarray(RAMP.astype(np.uint16) * 16)),
    "12 bits in a TIFF": encoded(Image.fromarray(RAMP.astype(np.uint16) * 16), "TIFF"),
    "12 bits in a colour PNG": rgb_of_16_bits(RAMP.astype(np.uint16) * 16),
    "8 bits in 16": encoded(Image.fromarray(RAMP.astype(np.uint16))),
    "32 bits": encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"),
    "32 bits of full range": encoded(Image.fromarray(RAMP.astype(np.int32) << 23), "TIFF"),
    "floats": encoded(Image.fromarray(RAMP.astype(np.float32) / 255), "TIFF"),
    "floats in a PFM": encoded(Image.fromarray(RAMP.astype(np.float32)), "PPM"),
}


@pytest.mark.parametrize("name", UNKNOWN_RANGE)
def test_numbers_of_unknown_range_are_refused(name):
    with pytest.raises(decode.BadImage, match=r"black and white are unknown|brightest level is"):
        decode.decode(UNKNOWN_RANGE[name], 3)


def test_colours_of_16_bits_and_full_range_are_read():
    content = rgb_of_16_bits(RAMP.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode.decode(content, 3)[..., 1], RAMP)


def test_a_black_image_of_16_bits_is_read():
    assert not decode.decode(encoded(Image.fromarray(np.zeros((4, 4), np.uint16))), 3).any()


def test_no_format_starts_a_program(tmp_path, monkeypatch):
    """Pillow gives EPS to Ghostscript, whatever the file is called."""
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    content = encoded(Image.new("RGB", (8, 8), "red"), "EPS")
    with pytest.raises(decode.BadImage, match="is not an image of a known format"):
        decode.decode(content, 3)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("image_format", ["EPS", "PDF", "ICO", "PCX", "SGI", "XBM", "DDS", "IM"])
def test_the_list_of_formats_is_closed(image_format):
    image = Image.new("1" if image_format == "XBM" else "RGB", (16, 16))
    with pytest.raises(decode.BadImage):
        decode.decode(encoded(image, image_format), 3)


@pytest.mark.parametrize("image_format", decode.FORMATS)
def test_every_listed_format_is_read(image_format):
    content = encoded(Image.new("RGB", (16, 12), "white"), image_format)
    assert (decode.decode(content, 3) > 250).all()


def three_bars(height, width):
    """Red, green and blue from left to right, or from top to bottom."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for bar in range(3):
        if width > height:
            pixels[:, bar * width // 3 : (bar + 1) * width // 3, bar] = 255
        else:
            pixels[bar * height // 3 : (bar + 1) * height // 3, :, bar] = 255
    return pixels


@pytest.mark.parametrize("shape", [(20, 60), (60, 20)])
def test_crop_keeps_the_centre_and_squash_and_pad_the_whole(shape):
    bars = three_bars(*shape)
    cropped, squashed, padded = (
        decode.square(bars, 30, resize).reshape(-1, 3) for resize in ("crop", "squash", "pad")
    )
    np.testing.assert_allclose(cropped.mean(0), [0, 255, 0], atol=3)
    np.testing.assert_allclose(squashed.mean(0), [85, 85, 85], atol=1)
    np.testing.assert_allclose(padded.mean(0), np.full(3, 85 / 3), atol=1)
    assert (padded.max(1) == 0).mean() == pytest.approx(2 / 3, abs=0.01)
    for resize in ("crop", "squash", "pad"):
        assert decode.square(bars[:, :, :1], 30, resize).shape == (30, 30, 1)


def make_config(root, **dataset):
    config = base.get_config()
    config.batch_size = 4
    config.dataset.update(
        {"dataset_name": "image_folder", "image_size": 32, "num_classes": 2, "data_dir": str(root)}
        | dataset
    )
    config.imagenet_train_dir, config.imagenet_val_dir = str(root / "train"), str(root / "val")
    return config


@pytest.fixture
def strips(tmp_path):
    """Images of 32 x 128 pixels whose class is at their left end, beyond the centred square."""
    for part in ("train", "val"):
        for name, level in (("a", 0), ("b", 255)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(4):
                pixels = np.full((32, 128), 100, np.uint8)
                pixels[:, :40] = level
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def is_told_apart(source):
    batch = next(source.eval_batches())
    means = batch["image"].mean((1, 2, 3))
    labels = batch["label"].argmax(1)
    return not np.isclose(means[labels == 0].mean(), means[labels == 1].mean())


@pytest.mark.parametrize("memory_limit_gb", [1.0, 0.0])
@pytest.mark.parametrize(("resize", "whole"), [("crop", False), ("squash", True), ("pad", True)])
def test_long_images_are_cut_with_a_word_or_kept(strips, caplog, resize, whole, memory_limit_gb):
    with caplog.at_level(logging.WARNING):
        source = build_source(make_config(strips, resize=resize, memory_limit_gb=memory_limit_gb))
    assert is_told_apart(source) == whole
    count = 16 if memory_limit_gb else 8  # of files that are streamed, a sample is looked at
    warned = f"{count} of {count} images are not square. What lies beyond their centred squares, 75"
    assert caplog.text.count("are not square") == (0 if whole else 1)
    assert whole or warned in caplog.text


def test_square_images_need_no_word(strips, caplog):
    for path in strips.rglob("*.png"):
        Image.new("L", (40, 40)).save(path)
    build_source(make_config(strips))
    assert "not square" not in caplog.text


def test_an_unknown_resize_is_refused(strips):
    with pytest.raises(UserError, match=r"Unknown dataset\.resize 'stretch'; known: .*squash"):
        build_source(make_config(strips, resize="stretch"))
    with pytest.raises(UserError, match=r"resize is pad, but imagenet crops its photos"):
        build_source(make_config(strips, resize="pad", dataset_name="imagenet"))


def test_the_cache_of_the_device_is_of_one_resize(strips):
    run = strips / "run"
    run.mkdir()
    for resize, whole in (("crop", False), ("pad", True)):
        source = build_source(make_config(strips, resize=resize, loader="device"), run_dir=run)
        images = source.device_data["eval"]["image"].mean(1)
        labels = source.device_data["eval"]["label"]
        assert (images[labels == 0].mean() != images[labels == 1].mean()) == whole
