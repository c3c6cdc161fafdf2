"""Data sets of pairs: anything with `len` and `[i] -> image, label`, read into memory."""

import collections
import dataclasses
import operator
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gnp.ds_pipeline.images import any_image, decode, in_memory
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.errors import UserError, reason


class Pairs(Protocol):
    """Images with labels, such as lists, PyTorch's datasets and Grain's sources.

    An image is one of `gnp.ds_pipeline.images.any_image.KNOWN`. A label is a whole number from 0,
    or where an image may have several classes, a row of 0 and 1 with a number for each class.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, int]: ...


@dataclasses.dataclass(frozen=True)
class PairSet:
    """A training and a test set of pairs.

    Attributes:
      name: in messages, such as "data.npz (dataset.data_dir)".
      train: the training set; None: there is none, so that one can only evaluate.
      test: the test or validation set; None: there is none.
      class_names: one name per class, in the order of the labels; None: classes are numbered.
      train_labels: those of `train`, if they are known without reading the images.

    Raises:
      UserError: two classes have the same name.
    """

    name: str
    train: Pairs | None
    test: Pairs | None
    class_names: Sequence[str] | None = None
    train_labels: Sequence[int] | None = None

    def __post_init__(self):
        counts = collections.Counter(map(str, () if self.class_names is None else self.class_names))
        for name, count in counts.items():
            if count > 1:
                raise UserError(
                    f"{self.name} names {count} classes {name!r}; give each a name of its own."
                )


@dataclasses.dataclass(frozen=True)
class ArrayPairs:
    """Images and labels in two arrays or lists.

    Raises:
      UserError: they are of different length; `name` says which.
    """

    images: Sequence[Any]
    labels: Sequence[int]
    name: str

    def __post_init__(self):
        if len(self.images) != len(self.labels):
            raise UserError(
                f"{self.name} has {len(self.images)} images and {len(self.labels)} labels; give "
                "one label per image."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.images[index], self.labels[index]


def num_classes(found: PairSet) -> int:
    """The number of named classes, or else what the training labels tell.

    That is one more than the largest of them, or the length of their rows.

    Raises:
      UserError: a label is neither a whole number from 0 nor a row of 0 and 1.
    """
    if found.class_names is not None:
        return len(found.class_names)
    part = _Part(_training_set(found), f"{found.name}, train")
    if found.train_labels is not None:
        labels = (part.checked(index, label) for index, label in enumerate(found.train_labels))
    else:
        labels = (part.pair(index)[1] for index in range(len(part)))
    return _count_in(list(labels))


def num_channels(found: PairSet) -> int:
    """1 if the first training image is gray, else 3."""
    image, _ = _Part(_training_set(found), f"{found.name}, train").pair(0)
    return 1 if any_image.is_gray(image) else 3


def load(found: PairSet, config: Any) -> LabelledData:
    """Reads all images, made squares of dataset.image_size as dataset.resize says.

    Raises:
      UserError: memory does not hold them, an image or a label cannot be used, or a part that the
        config needs is missing.
    """
    dataset = config.dataset
    form = in_memory.Form.of(dataset)
    wanted = {"train": found.train, "test": found.test if _needs_test(found, config) else None}
    parts = {n: _Part(p, f"{found.name}, {n}") for n, p in wanted.items() if p is not None}
    _check_memory(sum(map(len, parts.values())), form, dataset.memory_limit_gb)
    read = {name: part.read(form) for name, part in parts.items()}
    nothing = next(iter(read.values())).take(np.empty(0, np.int64))
    train, test = (read.get(name, nothing) for name in ("train", "test"))
    names = found.class_names
    if names is None:
        count = _count_in((train if len(train) else test).labels)
        if train.labels.ndim == 1:
            count = max(dataset.num_classes or 0, count)
        names = [str(label) for label in range(count)]
    for name, examples in read.items():
        parts[name].check_labels(examples.labels, len(names))
    mean, std = in_memory.statistics(train.images) if len(train) else (None, None)
    missing = "" if len(train) else _no_training_set(found)
    return LabelledData(train, test, list(names), mean, std, missing=missing)


class _Part:
    """The training or the test set, with checks of all that it returns."""

    def __init__(self, pairs: Pairs, name: str):
        self._pairs, self._name = pairs, name
        try:
            self._count = len(pairs)
        except TypeError as error:
            raise self._refused("it has no length", "give one with len") from error
        if not self._count:
            raise self._refused("it is empty", "give images")

    def __len__(self):
        return self._count

    def pair(self, index):
        """An image and its label, see `checked`."""
        try:
            image, label = self._pairs[index]
        except IndexError as error:
            fault = f"its length is {self._count}, but it has no element {index}"
            raise self._refused(fault, "give a source whose length does not change") from error
        except UserError:
            raise
        except Exception as error:  # whatever a user's source does
            fault = f"element {index} fails ({type(error).__name__}: {reason(error)})"
            raise self._refused(fault, "give one whose elements are (image, label)") from error
        return image, self.checked(index, label)

    def checked(self, index, label):
        """A label as an integer of Python, or as a row of bytes, each 0 or 1."""
        if getattr(label, "ndim", isinstance(label, list | tuple)):
            return self._checked_row(index, label)
        try:
            number = operator.index(label)
        except TypeError as error:
            fault = f"the label of element {index} is {reason(repr(label))}"
            raise self._refused(fault, "give the number of its class, from 0") from error
        if number < 0:
            raise self._refused(f"the label of element {index} is {number}", "count from 0")
        return number

    def _checked_row(self, index, label):
        try:
            row = np.asarray(label)
            is_good = row.ndim == 1 and len(row) > 0 and bool(np.isin(row, (0, 1)).all())
        except (TypeError, ValueError):  # of lists of different length
            is_good = False
        if not is_good:
            fault = f"the label of element {index} is {reason(repr(label))}"
            raise self._refused(fault, "give a row with 0 or 1 for each class")
        return row.astype(np.uint8)

    def read(self, form):
        """All examples."""
        images = np.empty((len(self), *form.shape), np.uint8)
        labels, cut = [], np.empty(len(self))
        for index in range(len(self)):
            image, label = self.pair(index)
            if labels and np.shape(label) != np.shape(labels[0]):
                fault = f"the labels of the elements 0 and {index} are of different kind or length"
                raise self._refused(fault, "give a number for each, or a row for each")
            labels.append(label)
            try:
                pixels = any_image.pixels(image, form.channels)
            except decode.BadImage as error:
                raise self._refused(f"image {index}: {error}", "fix or remove it") from error
            images[index] = decode.square(pixels, form.size, form.resize)
            cut[index] = decode.share_cut(pixels, form.size)
        if len(self._pairs) != self._count:
            fault = f"its length was {self._count} and is {len(self._pairs)}"
            raise self._refused(fault, "give a source whose length does not change")
        in_memory.warn_of_cut(cut, form)
        return Examples(images, np.asarray(labels))

    def check_labels(self, labels, count):
        """Raises a UserError if there is one outside of the classes."""
        if labels.ndim == 2:
            if labels.shape[1] != count:
                fault = f"a row of labels has {labels.shape[1]} numbers"
                raise self._refused(fault, f"there are {count} classes, give one number for each")
            return
        if len(outside := np.flatnonzero(labels >= count)):
            fault = f"the label of element {outside[0]} is {labels[outside[0]]}"
            raise self._refused(fault, f"there are {count} classes, 0 to {count - 1}")

    def _refused(self, fault, remedy):
        return UserError(f"{self._name} cannot be used: {fault}; {remedy}.")


def _count_in(labels):
    """The number of classes that labels without names tell."""
    return len(labels[0]) if np.ndim(labels[0]) else 1 + int(max(labels))


def _needs_test(found, config):
    needs = config.use_test_set or found.train is None
    if needs and found.test is None:
        raise UserError(
            f"{found.name} has no test set; add one, or set use_test_set=False to evaluate on a "
            "tenth of the training set."
        )
    return needs


def _training_set(found):
    if found.train is None:
        raise UserError(_no_training_set(found))
    return found.train


def _no_training_set(found):
    return f"{found.name} has no training set; add one."


def _check_memory(count, form, limit_gb):
    gigabytes = count * np.prod(form.shape) / 1e9
    if gigabytes > limit_gb:
        raise UserError(
            f"dataset.memory_limit_gb is {limit_gb:g}, but the {count} images take "
            f"{gigabytes:.3g} GB in memory; raise it, make dataset.image_size smaller, or save the "
            "images as files for dataset_name=image_folder."
        )
