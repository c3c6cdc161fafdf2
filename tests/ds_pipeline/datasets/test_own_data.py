"""One's own data in every form: the same images give the same batches; bad ones give a sentence."""

import csv
import io
import json
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

import gnp
from gnp.ds_pipeline.build import build_source, filled_in
from gnp.ds_pipeline.datasets import from_python
from gnp.errors import UserError
from gnp.main.config import changed, load_config

CLASSES = ["cat", "dog", "eel"]
SIZE = 8
IMAGE = np.zeros((SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def pairs():
    """Images of several shapes with labels, sorted by class."""
    generator = np.random.default_rng(0)

    def make(count):
        shapes = [(SIZE, SIZE + number % 3, 3) for number in range(count)]
        images = [generator.integers(0, 256, shape, np.uint8) for shape in shapes]
        return list(zip(images, np.sort(np.arange(count) % len(CLASSES)), strict=True))

    return {"train": make(15), "val": make(6)}


@pytest.fixture(scope="module")
def folder(pairs, tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    for part, examples in pairs.items():
        for number, (image, label) in enumerate(examples):
            path = root / part / CLASSES[label] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


def config_of(name, data_dir="", *fields, **more):
    own = {"dataset_name": name, "data_dir": str(data_dir), "image_size": SIZE, **more}
    fields = [*(f"dataset.{name}={value}" for name, value in own.items()), *fields]
    return load_config("config/image_folder.py", ["batch_size=4", *fields])


def rows(folder, part):
    files = sorted((folder / part).rglob("*.png"))
    return [(str(file.relative_to(folder)), file.parent.name) for file in files]


def write_csv(file, table, header=("path", "label")):
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([header, *table])


def as_csv(folder, pairs, root):
    for part in pairs:
        table = [(str(folder / path), name, "x") for path, name in rows(folder, part)]
        write_csv(root / f"{part}.csv", table, ("path", "label", "more"))
    return config_of("csv", root)


def as_parquet(folder, pairs, root):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow reads Parquet")
    from pyarrow import parquet

    for part in pairs:
        paths, names = zip(*rows(folder, part), strict=True)
        table = arrow.table({"label": names, "path": [str(folder / path) for path in paths]})
        parquet.write_table(table, root / f"{part}.parquet")
    return config_of("csv", root)


def squares(pairs):
    """The images as arrays of one shape, and the labels."""
    return (
        np.stack([image[:, (image.shape[1] - SIZE) // 2 :][:, :SIZE] for image, _ in pairs]),
        np.array([label for _, label in pairs]),
    )


def save_npz(file, pairs, **more):
    (train, labels), (test, test_labels) = squares(pairs["train"]), squares(pairs["val"])
    arrays = {"train_image": train, "train_label": labels, "class_names": np.array(CLASSES)}
    np.savez(file, **(arrays | {"test_image": test, "test_label": test_labels} | more))


def as_npz(folder, pairs, root):
    save_npz(root / "data.npz", pairs)
    return config_of("npz", root / "data.npz")


def png(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png")
    return content.getvalue()


def as_hugging_face(folder, pairs, root):
    datasets = pytest.importorskip("datasets", reason="the extra hf reads sets of Hugging Face")
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=CLASSES), "picture": datasets.Image()}
    )
    splits = {
        part: datasets.Dataset.from_dict(
            {
                "label": [int(label) for _, label in examples],
                "picture": [{"bytes": png(image), "path": None} for image, _ in examples],
            },
            features,
        )
        for part, examples in pairs.items()
    }
    datasets.DatasetDict(splits).save_to_disk(root / "set")
    return config_of("huggingface", root / "set")


def as_tars(folder, pairs, root):
    pytest.importorskip("webdataset", reason="the extra webdataset reads its tar files")
    for part, examples in pairs.items():
        for start in range(0, len(examples), 5):
            shard = [
                (f"{start + place:03}.{ending}", content)
                for place, (image, label) in enumerate(examples[start : start + 5])
                for ending, content in (("png", png(image)), ("cls", b"%d" % label))
            ]
            write_tar(root / f"{part}-{start:03}.tar", shard)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return config_of("webdataset", root)


def write_tar(file, content):
    with tarfile.open(file, "w") as tar:
        for name, text in content:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))


def as_tfds(folder, pairs, root):
    tfds = pytest.importorskip("tensorflow_datasets", reason="the extra data reads its sets")
    parts = {"train": pairs["train"], "test": pairs["val"]}

    class Animals(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # made twice
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=CLASSES),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, manager):
            return {part: self._generate_examples(examples) for part, examples in parts.items()}

        def _generate_examples(self, examples):
            for number, (image, label) in enumerate(examples):
                yield number, {"image": image, "label": int(label)}

    Animals(data_dir=root).download_and_prepare()
    return config_of("tfds", "", f"tfds_dir={root}", tfds_name="animals")


def assert_same_batches(source, other):
    assert source.class_names == other.class_names
    assert (source.mean, source.std) == (other.mean, other.std)
    for batches in (lambda s: s.train_batches(1), lambda s: s.eval_batches()):
        for expected, found in zip(batches(other), batches(source), strict=True):
            for key in expected:
                np.testing.assert_allclose(found[key], expected[key], atol=1e-6)


FORMS = [as_csv, as_parquet, as_npz, as_hugging_face, as_tars, as_tfds]


@pytest.mark.parametrize("make", FORMS)
def test_batches_are_those_of_the_folder(folder, pairs, tmp_path, make):
    config = make(folder, pairs, tmp_path)
    assert_same_batches(build_source(config), build_source(config_of("image_folder", folder)))


def train(config, working_dir):
    """The metrics of a short training, and what its model says of an image."""
    fields = {
        "modules": "tests/main/small_models.py",
        "model.model_name": "SmallDropoutNet",
        "total_epochs": 2,
        "gnp.r": 0.1,
    }
    run = gnp.train(changed(config, fields), working_dir)
    return (run.folder / "metrics.jsonl").read_text(), run.predict(IMAGE[None]).probabilities


@pytest.fixture(scope="module")
def of_folder(folder, tmp_path_factory):
    return train(config_of("image_folder", folder), tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("make", FORMS)
def test_training_has_the_numbers_of_the_folder(folder, pairs, of_folder, tmp_path, make):
    metrics, probabilities = train(make(folder, pairs, tmp_path), tmp_path / "runs")
    assert metrics == of_folder[0]
    assert metrics.count("eval/loss") == 2
    np.testing.assert_array_equal(probabilities, of_folder[1])


class Dataset:
    """As those of PyTorch and Grain, which are no sequences."""

    def __init__(self, pairs):
        self._pairs = pairs

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        return self._pairs[index]


def in_forms(pairs, folder):
    """The same pairs in each form that Python code may give them."""
    yield pairs
    yield {part: Dataset(pairs[part]) for part in pairs}
    yield {part: [(Image.fromarray(i), int(n)) for i, n in pairs[part]] for part in pairs}
    yield {part: squares(pairs[part]) for part in pairs}
    files = {part: sorted((folder / part).rglob("*.png")) for part in pairs}
    labels = {part: [CLASSES.index(file.parent.name) for file in files[part]] for part in pairs}
    yield {part: (files[part], labels[part]) for part in pairs}
    yield {
        part: [(f.read_bytes(), n) for f, n in zip(files[part], labels[part], strict=True)]
        for part in pairs
    }


@pytest.mark.parametrize("form", range(6))
def test_batches_from_python_are_those_of_the_folder(folder, pairs, form):
    parts = list(in_forms(pairs, folder))[form]
    source = {"train": parts["train"], "test": parts["val"], "class_names": CLASSES}
    with from_python.given(source):
        found = build_source(config_of("python"))
    assert_same_batches(found, build_source(config_of("image_folder", folder)))


def test_numbers_of_classes_and_channels_are_those_of_the_data(folder, pairs, tmp_path):
    def numbers(config):
        dataset = filled_in(config).dataset
        return dataset.num_classes, dataset.num_channels

    assert numbers(config_of("image_folder", folder)) == (3, 3)
    assert numbers(as_csv(folder, pairs, tmp_path)) == (3, 3)
    assert numbers(as_npz(folder, pairs, tmp_path)) == (3, 3)
    gray = np.zeros((4, SIZE, SIZE), np.uint8)
    with from_python.given({"train": (gray, [0, 1, 5, 1])}):
        assert numbers(config_of("python")) == (6, 1)
        assert numbers(config_of("python", num_classes=8, num_channels=3)) == (8, 3)
    for name, expected in {"cifar100": (100, 3), "digits": (10, 1), "fake": (10, 3)}.items():
        assert numbers(config_of(name)) == expected


def test_gray_folders_have_one_channel(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(tmp_path / "train" / name / "0.png")
    assert filled_in(config_of("image_folder", tmp_path)).dataset.num_channels == 1


class Growing(list):
    def __getitem__(self, index):
        self.append((IMAGE, 0))
        return super().__getitem__(index)


class Shrinking(list):
    def __getitem__(self, index):
        self.pop()
        return super().__getitem__(index)


BAD_SOURCES = [
    ([(IMAGE, 0)], "give a dictionary with train, test and"),
    ({"train": iter([])}, "has no length; give one with len"),
    ({"train": []}, "The source, train cannot be used: it is empty"),
    ({"train": [(IMAGE, 0), IMAGE]}, "element 1 fails (ValueError: too many values"),
    ({"train": [(IMAGE, 0), (IMAGE, 1.0)]}, "the label of element 1 is 1.0; give the number"),
    ({"train": [(IMAGE, 0), (IMAGE, -1)]}, "the label of element 1 is -1; count from 0"),
    ({"train": ([IMAGE], [0, 1])}, "The source, train has 1 images and 2 labels"),
    ({"train": Shrinking([(IMAGE, x % 2) for x in range(9)])}, "length does not change"),
    ({"train": Growing([(IMAGE, x % 2) for x in range(9)])}, "give a source whose length does not"),
    ({"train": [(IMAGE, 0), (IMAGE, 2)], "class_names": "ab"}, "is 2; there are 2 classes, 0 to 1"),
    ({"train": [(IMAGE, 0), (IMAGE / 9, 1)]}, "image 1: it is float64 of shape (8, 8, 3), not"),
]


@pytest.mark.parametrize(("source", "sentence"), BAD_SOURCES, ids=range(11))
def test_a_bad_source_is_refused_and_nothing_written(tmp_path, source, sentence):
    config = config_of("digits", "", "use_test_set=False")
    with pytest.raises(UserError) as error:
        gnp.train(config, tmp_path / "runs", source=source)
    assert sentence in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("0.png,cat\n", "its header is '0.png,cat'; give it the columns path and label"),
        ("path,label\n", "it has no rows"),
        ("path,label\n0.png\n", "line 2 has 1 values; write 2"),
        ("path,label\n0.png,\n", "row 1 lacks a path or a label"),
        (b"path,label\n\xff,1\n", "cannot be used: it cannot be read"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, content, sentence):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(UserError) as error:
        build_source(config_of("csv", tmp_path, "use_test_set=False"))
    assert sentence in str(error.value)


def test_a_class_of_the_test_table_alone_is_refused(folder, pairs, tmp_path):
    config = as_csv(folder, pairs, tmp_path)
    write_csv(tmp_path / "val.csv", [("0.png", "fox")])
    with pytest.raises(UserError, match="has the class 'fox', which the training set lacks"):
        build_source(config)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"train_label": np.arange(14)}, "has 15 images and 14 labels"),
        ({"train_label": np.zeros((15, 3, 1))}, r"train_label has the shape \(15, 3, 1\)"),
        ({"test_label": np.full(6, 7)}, "test cannot be used: the label of element 0 is 7"),
        ({"train_label": np.full(15, 0.5)}, "the label of element 0 is .*0.5.*; give the number"),
        ({"train_image": np.array([None] * 15)}, "cannot be read"),
        ({"class_names": np.array(["cat", "dog", "cat"])}, "names 2 classes 'cat'; give each a"),
    ],
)
def test_a_bad_file_of_arrays_is_refused(pairs, tmp_path, more, sentence):
    save_npz(tmp_path / "data.npz", pairs, **more)
    with pytest.raises(UserError, match=sentence):
        build_source(config_of("npz", tmp_path / "data.npz"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([("0.png", png(IMAGE))], "has the files png; give it an image and its label, cls"),
        ([("0.png", png(IMAGE)), ("0.cls", b"cat")], "has the label b'cat'; give the number"),
        ([("0.png", b"PNG"), ("0.cls", b"0")], "image 0: it is not an image"),
        ([], "cannot be read"),
    ],
)
def test_bad_tars_are_refused(tmp_path, content, sentence):
    pytest.importorskip("webdataset", reason="the extra webdataset reads its tar files")
    write_tar(tmp_path / "train.tar", content)
    with pytest.raises(UserError) as error:
        build_source(config_of("webdataset", tmp_path, "use_test_set=False"))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("huggingface", "datasets", "hf"), ("webdataset", "webdataset", "webdataset")],
)
def test_a_missing_library_is_named(tmp_path, monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "train.tar").touch()
    with pytest.raises(UserError, match=rf'install it with pip install "gnp-jax\[{extra}\]"\.$'):
        build_source(config_of(name, tmp_path))


def test_what_is_no_set_of_a_library_is_refused(tmp_path):
    pytest.importorskip("datasets", reason="the extra hf reads sets of Hugging Face")
    with pytest.raises(UserError, match=r"cannot be read .* that save_to_disk of the library"):
        build_source(config_of("huggingface", tmp_path))


def test_an_unknown_set_of_tensorflow_is_refused(tmp_path):
    pytest.importorskip("tensorflow_datasets", reason="the extra data reads its sets")
    with pytest.raises(UserError, match=r"tfds_name is empty; name a set"):
        build_source(config_of("tfds"))
    with pytest.raises(UserError, match=r"no_such_set is neither prepared in tfds_dir"):
        build_source(config_of("tfds", "", f"tfds_dir={tmp_path}", tfds_name="no_such_set"))


def test_a_file_without_arrays_is_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"PK no arrays")
    with pytest.raises(UserError, match=r"data\.npz .* cannot be read"):
        build_source(config_of("npz", tmp_path / "data.npz"))


def test_a_wrong_number_of_classes_is_refused(folder):
    with pytest.raises(UserError, match="num_classes is 2, but image_folder has 3 classes"):
        build_source(config_of("image_folder", folder, num_classes=2))


def test_a_source_larger_than_memory_is_refused():
    source = {"train": (np.zeros((9, SIZE, SIZE), np.uint8), np.arange(9))}
    with (
        from_python.given(source),
        pytest.raises(UserError, match=r"the 9 images take 5\.76e-07 GB"),
    ):
        build_source(config_of("python", "", "use_test_set=False", memory_limit_gb=1e-7))


def test_a_source_from_python_is_trained_on_and_resumed_with_the_same_images(pairs, tmp_path):
    config = {
        "batch_size": 4,
        "total_epochs": 1,
        "dataset": {"image_size": SIZE},
        "model": {"model_name": "WideResNet_10_1"},
    }
    source = {"train": pairs["train"], "test": pairs["val"], "class_names": CLASSES}
    run = gnp.train(config, tmp_path, source=source)
    assert run.class_names == CLASSES
    assert run.step == 3
    saved = json.loads((run.folder / "config.json").read_text())["dataset"]
    assert (saved["dataset_name"], saved["num_classes"], saved["num_channels"]) == ("python", 3, 3)
    assert gnp.train(config, tmp_path, source=source).step == 3
    with pytest.raises(UserError, match="has 14 images now, 15 when it began"):
        gnp.train(config, tmp_path, source=source | {"train": pairs["train"][1:]})
