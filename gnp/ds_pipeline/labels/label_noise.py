"""Label noise: wrong training labels on purpose, to measure memorization.

The noise has a seed of its own. It is the same for every run, epoch, loader, process and device,
and is applied before the hold-out split and before a subset is chosen. Test labels never change.
"""

import dataclasses
from typing import Any

import numpy as np

from gnp.ds_pipeline import rng
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.ds_pipeline.labels import label_file
from gnp.errors import UserError, unknown_name

KINDS = ("symmetric", "asymmetric")

# From G. Patrini et al., Making Deep Neural Networks Robust to Label Noise, arXiv 1609.03683.
_CIFAR10_PAIRS = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}
_CIFAR10_CLASSES = {*_CIFAR10_PAIRS, "automobile", "airplane", "horse", "frog", "ship"}

# The fine classes of each superclass, as https://www.cs.toronto.edu/~kriz/cifar.html lists them.
CIFAR100_SUPERCLASSES = {
    "aquatic mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit and vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household electrical devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large man-made outdoor things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large natural outdoor scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large omnivores and herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium-sized mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles 1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles 2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


def with_noise(data: LabelledData, dataset: Any) -> LabelledData:
    """Applies the label noise, or the file of labels, that a config names.

    Args:
      data: as the source loads it, in the source's own order.
      dataset: the block `dataset` of the config.

    Returns:
      The data with the noisy labels as `train.labels` and the source's labels as
      `train.true_labels`. Without noise and file, `data` itself.

    Raises:
      UserError: a field is out of range, or the file does not match the data.
    """
    share, kind, seed = dataset.label_noise, dataset.label_noise_kind, dataset.label_noise_seed
    _check(share, kind, seed)
    if dataset.train_labels:
        if share:
            raise UserError(
                f"dataset.label_noise is {share} and dataset.train_labels is "
                f"{dataset.train_labels!r}, but only one of them can set the labels; set "
                "label_noise to 0 or train_labels to ''."
            )
        labels = label_file.read(dataset.train_labels, data.train, data.class_names)
        return _with_labels(data, labels, {"kind": "file", "file": dataset.train_labels})
    if not share:
        return data
    if kind == "symmetric":
        labels = symmetric(data.train.labels, share, len(data.class_names), seed)
    else:
        labels = asymmetric(data.train.labels, share, partners(data.class_names), seed)
    return _with_labels(data, labels, {"kind": kind, "share": float(share), "seed": int(seed)})


def symmetric(labels: np.ndarray, share: float, num_classes: int, seed: int) -> np.ndarray:
    """Replaces the labels of round(share * n) images by labels uniform over all classes.

    A new label may be the true one: with c classes, a share s changes about s * (1 - 1 / c) of the
    labels. With the same seed, a larger share changes the same labels in the same way, and more.

    Args:
      labels: int64, n.
      share: of the images, 0 to 1.
      num_classes: of the data set.
      seed: of the noise.
    """
    generator = rng.generator(rng.LABEL_NOISE, seed)
    chosen = generator.permutation(len(labels))[: round(share * len(labels))]
    uniform = generator.integers(num_classes, size=len(labels))
    noisy = labels.copy()
    noisy[chosen] = uniform[chosen]
    return noisy


def asymmetric(labels: np.ndarray, share: float, partners: np.ndarray, seed: int) -> np.ndarray:
    """Replaces the labels of round(share * n_c) images of each class c by the partner of c.

    Args:
      labels: int64, n.
      share: of the images of each class that has a partner, 0 to 1.
      partners: int64, one per class; a class that is its own partner keeps its labels.
      seed: of the noise.
    """
    order = rng.generator(rng.LABEL_NOISE, seed).permutation(len(labels))
    noisy = labels.copy()
    for label, partner in enumerate(partners):
        of_class = order[labels[order] == label]
        noisy[of_class[: round(share * len(of_class))]] = partner
    return noisy


def partners(class_names: list[str]) -> np.ndarray:
    """The class that replaces each class in asymmetric noise.

    - CIFAR-10: the pairs of arXiv 1609.03683, truck to automobile, bird to airplane, deer to
      horse, cat to dog and dog to cat; the other classes are their own partners;
    - CIFAR-100: the next class within the superclass, circular;
    - all other data sets: the next class, circular.

    Args:
      class_names: in the order of the labels; they identify the data set.
    """
    if set(class_names) == _CIFAR10_CLASSES:
        names = [_CIFAR10_PAIRS.get(name, name) for name in class_names]
    elif set(class_names) == {name for names in CIFAR100_SUPERCLASSES.values() for name in names}:
        following = {}
        for names in CIFAR100_SUPERCLASSES.values():
            following |= zip(names, names[1:] + names[:1], strict=True)
        names = [following[name] for name in class_names]
    else:
        names = class_names[1:] + class_names[:1]
    return np.array([class_names.index(name) for name in names])


def wrong_labels(examples: Examples) -> np.ndarray:
    """Places of the images whose given label differs from the true one, ascending; int64."""
    if examples.true_labels is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(examples.labels != examples.true_labels)


def summary(data: LabelledData) -> dict[str, Any] | None:
    """A record of the label noise for data.json; None without noise.

    Returns:
      `kind` with `share` and `seed`, or with `file`; `num_images`: number of training images;
      `changed`: number of labels that differ from the true ones; `changed_per_class`: that number
      by name of the true class.
    """
    if data.label_noise is None:
        return None
    wrong = wrong_labels(data.train)
    counts = np.bincount(data.train.true_labels[wrong], minlength=len(data.class_names))
    return dict(data.label_noise) | {
        "num_images": len(data.train),
        "changed": len(wrong),
        "changed_per_class": dict(zip(data.class_names, counts.tolist(), strict=True)),
    }


def _check(share, kind, seed):
    if not 0 <= share <= 1:
        raise UserError(
            f"dataset.label_noise is {share}; choose the share of the labels to change, 0 to 1."
        )
    if kind not in KINDS:
        raise unknown_name("dataset.label_noise_kind", kind, KINDS)
    if seed < 0:
        raise UserError(f"dataset.label_noise_seed is {seed}; choose a number of at least 0.")


def _with_labels(data, labels, origin):
    train = dataclasses.replace(data.train, labels=labels, true_labels=data.train.labels)
    return dataclasses.replace(data, train=train, label_noise=origin)
