"""Images with any number of the classes: from each kind of source, by each loader."""

import csv

import numpy as np
import pytest
from PIL import Image

from gnp.ds_pipeline import partition
from gnp.ds_pipeline.build import build_source, filled_in, load_data
from gnp.ds_pipeline.datasets import from_python
from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.inspect_data import _caption
from gnp.main.shown_images import completed

SIZE = 8
CLASSES = ["cat", "dog", "eel"]
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (20, SIZE, SIZE, 3), np.uint8)
LABELS = GENERATOR.integers(0, 2, (20, 3))
LABELS[0] = 0
PARTS = {"train": slice(0, 14), "val": slice(14, 20)}


def config_of(name, data_dir="", *fields):
    own = (f"dataset.dataset_name={name}", f"dataset.data_dir={data_dir}", "batch_size=4")
    more = (f"dataset.image_size={SIZE}", "dataset.multi_label=True", "loss=binary_cross_entropy")
    return load_config("config/image_folder.py", [*own, *more, *fields])


def as_npz(root, **arrays):
    parts = {"train": PARTS["train"], "test": PARTS["val"]}
    own = {f"{name}_image": IMAGES[part] for name, part in parts.items()}
    own |= {f"{name}_label": LABELS[part] for name, part in parts.items()}
    np.savez(root / "data.npz", **(own | {"class_names": np.array(CLASSES)} | arrays))
    return root / "data.npz"


def cell(row):
    return " ; ".join(CLASSES[number] for number in np.flatnonzero(row))


def as_csv(root, change=lambda part, rows: rows):
    for part, place in PARTS.items():
        rows = []
        for number in range(20)[place]:
            Image.fromarray(IMAGES[number]).save(root / f"{number}.png")
            rows.append([f"{number}.png", cell(LABELS[number])])
        with (root / f"{part}.csv").open("w", newline="") as lines:
            csv.writer(lines).writerows([["path", "label"], *change(part, rows)])
    return root


def source_in_python():
    train, test = (list(zip(IMAGES[p], LABELS[p].tolist(), strict=True)) for p in PARTS.values())
    return {"train": train, "test": test, "class_names": CLASSES}


def batches(source):
    """All batches of an epoch and of an evaluation, as the step gets them."""
    train = map(completed(source, source.prepare), source.train_batches(1))
    return [*train, *map(completed(source, source.prepare_eval), source.eval_batches())]


def assert_same(found, expected):
    for batch, other in zip(batches(found), batches(expected), strict=True):
        assert batch["label"].dtype == np.float32
        for name in other:
            np.testing.assert_allclose(batch[name], other[name], atol=1e-5)


def test_batches_hold_the_rows(tmp_path):
    source = build_source(config_of("npz", as_npz(tmp_path)))
    labels = np.concatenate([b["label"][b["mask"] > 0] for b in source.eval_batches()])
    expected = LABELS[PARTS["val"]][partition.split_order(6)]
    np.testing.assert_array_equal(labels, expected)
    assert source.class_names == CLASSES
    counts = source.class_counts()
    np.testing.assert_array_equal(counts["train"], LABELS[PARTS["train"]].sum(axis=0))


@pytest.mark.parametrize("kind", ["csv", "python"])
def test_every_source_gives_the_same_batches(kind, tmp_path):
    expected = build_source(config_of("npz", as_npz(tmp_path)))
    if kind == "csv":
        assert_same(build_source(config_of("csv", as_csv(tmp_path))), expected)
    else:
        with from_python.given(source_in_python()):
            assert_same(build_source(config_of("python")), expected)


def test_parquet_is_read_as_csv_is(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow reads Parquet")
    from pyarrow import parquet

    as_csv(tmp_path)
    expected = build_source(config_of("csv", tmp_path))
    for part, place in PARTS.items():
        names = [cell(row) or None for row in LABELS[place]]
        paths = [f"{number}.png" for number in range(20)[place]]
        parquet.write_table(arrow.table({"path": paths, "label": names}), tmp_path / f"{part}.tmp")
        (tmp_path / f"{part}.csv").unlink()
        (tmp_path / f"{part}.tmp").rename(tmp_path / f"{part}.parquet")
    assert_same(build_source(config_of("csv", tmp_path)), expected)


@pytest.mark.parametrize("mixing", ["none", "mixup", "cutmix"])
def test_every_loader_gives_the_same_batches(mixing, tmp_path, monkeypatch):
    fields = (f"dataset.batch_level_augmentations={mixing}",)
    file = as_npz(tmp_path)
    expected = build_source(config_of("npz", file, *fields))
    device = build_source(config_of("npz", file, *fields, "dataset.loader=device"))
    monkeypatch.setattr("gnp.ds_pipeline.tensorflow_cpu.is_installed", lambda: False)
    numpy = build_source(config_of("npz", file, *fields))
    names = [type(source).__name__ for source in (expected, device, numpy)]
    assert names[1:] == ["DeviceSource", "NumpySource"]
    for source in (device, numpy):
        assert_same(source, expected)


def test_files_that_memory_does_not_hold_give_the_same_batches(tmp_path):
    pytest.importorskip("tensorflow", reason="tf.data reads files again in each epoch")
    root = as_csv(tmp_path)
    fields = ("dataset.memory_limit_gb=0", "dataset.image_level_augmentations=none")
    read_again = build_source(config_of("csv", root, *fields))
    assert type(read_again).__name__ == "TfFileSource"
    found = np.concatenate([b["label"][b["mask"] > 0] for b in read_again.eval_batches()])
    np.testing.assert_array_equal(found, LABELS[PARTS["val"]][partition.split_order(6)])


def test_the_number_of_classes_is_that_of_the_rows(tmp_path):
    with from_python.given({"train": (IMAGES, LABELS), "test": (IMAGES, LABELS)}):
        assert filled_in(config_of("python")).dataset.num_classes == 3
        assert build_source(config_of("python")).class_names == ["0", "1", "2"]
    assert filled_in(config_of("csv", as_csv(tmp_path))).dataset.num_classes == 3


def test_a_tenth_is_held_out_of_each_combination_of_classes():
    rows = np.repeat([[0, 0], [0, 1], [1, 1]], [50, 30, 20], axis=0)
    kept, held = partition.hold_out(rows)
    assert len(kept) + len(held) == 100
    assert [tuple(rows[held].sum(axis=0))] == [(2, 5)]


def test_the_caption_names_all_classes():
    class Source:
        class_names = CLASSES

    assert _caption(Source, np.array([1.0, 0, 1])) == "cat\neel"
    assert _caption(Source, np.zeros(3)) == ""
    assert _caption(Source, np.array([0.25, 0.75, 0])) == "dog 0.75\ncat 0.25"


def test_a_run_is_evaluated_on_fewer_classes_than_it_was_trained_with(tmp_path):
    def without_train_and_cat(part, rows):
        return [[path, label.replace("cat", "")] for path, label in rows]

    as_csv(tmp_path, without_train_and_cat)
    (tmp_path / "train.csv").unlink()
    config = config_of("csv", tmp_path, "dataset.num_classes=3", "dataset.num_channels=3")
    data = build_source(config, evaluate_as=CLASSES, normalization=((0,) * 3, (1,) * 3))
    found = np.concatenate([b["label"][b["mask"] > 0] for b in data.eval_batches()])
    expected = LABELS[PARTS["val"]] * [0, 1, 1]
    np.testing.assert_array_equal(found, expected[partition.split_order(6)])


def bad_rows(value):
    rows = LABELS[PARTS["train"]].astype(float)
    rows[3, 1] = value
    return rows


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"train_label": bad_rows(2)}, r"train cannot be used: the label of element 3 is array\("),
        ({"train_label": bad_rows(0.5)}, "give a row with 0 or 1 for each class"),
        ({"train_label": bad_rows(np.nan)}, "give a row with 0 or 1 for each class"),
        ({"class_names": np.array(["a", "b"])}, "a row of labels has 3 numbers; there are 2 class"),
        ({"test_label": LABELS[14:, :2]}, "test cannot be used: a row of labels has 2 numbers"),
        ({"train_label": LABELS[:14, None]}, r"train_label has the shape \(14, 1, 3\); give a num"),
        (
            {"train_label": LABELS[:14, 0], "test_label": LABELS[14:, 0]},
            "dataset.multi_label is True, but npz has one class for each image; set it to False",
        ),
    ],
)
def test_bad_rows_are_one_sentence(arrays, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence) as error:
        build_source(config_of("npz", as_npz(tmp_path, **arrays)))
    assert "\n" not in str(error.value)


def test_numbers_and_rows_in_one_set_are_one_sentence():
    mixed = [(IMAGES[0], [1, 0, 0]), (IMAGES[1], 2)]
    source = {"train": mixed, "test": mixed, "class_names": CLASSES}
    with (
        from_python.given(source),
        pytest.raises(UserError, match="elements 0 and 1 are of different"),
    ):
        build_source(config_of("python"))


@pytest.mark.parametrize(
    ("part", "label", "sentence"),
    [
        ("val", "cat;emu", "it has the class 'emu', which the training set lacks"),
        ("val", "Cat", "it has the class 'Cat', which the training set lacks"),
    ],
)
def test_an_unknown_class_in_a_cell_is_one_sentence(part, label, sentence, tmp_path):
    def change(name, rows):
        return [[rows[0][0], label], *rows[1:]] if name == part else rows

    with pytest.raises(UserError, match=sentence):
        build_source(config_of("csv", as_csv(tmp_path, change)))


def test_a_table_without_any_class_is_one_sentence(tmp_path):
    as_csv(tmp_path, lambda part, rows: [[path, ""] for path, _ in rows])
    with pytest.raises(UserError, match=r"train\.csv .* no image has a class; name the classes"):
        build_source(config_of("csv", tmp_path))


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_several_classes_without_the_field_are_one_sentence(kind, tmp_path):
    def without_empty_cells(part, rows):
        return [[path, label or "cat"] for path, label in rows]

    make = {"csv": lambda: as_csv(tmp_path, without_empty_cells), "npz": lambda: as_npz(tmp_path)}
    config = config_of(kind, make[kind](), "dataset.multi_label=False")
    with pytest.raises(UserError, match=r"dataset\.multi_label"):
        load_data(config)


@pytest.mark.parametrize(
    "field",
    ["label_noise=0.2", "train_labels=a.npy", "class_weights=balanced", "sampling=balanced"],
)
def test_what_is_for_one_class_per_image_is_refused(field, tmp_path):
    config = config_of("npz", as_npz(tmp_path), f"dataset.{field}")
    with pytest.raises(UserError, match=rf"^dataset\.{field.split('=')[0]} is .* several classes"):
        build_source(config)
