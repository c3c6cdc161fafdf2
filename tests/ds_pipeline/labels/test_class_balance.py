"""Classes of different size: weights in the loss, and sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gnp.ds_pipeline import tensorflow_cpu
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.datasets import from_python
from gnp.ds_pipeline.labels import class_balance
from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.training.loss import cross_entropy
from gnp.training.objective import Objective

LABELS = np.repeat([0, 1, 3], [16, 3, 5])


def source_of(*fields, loader="tfdata"):
    images = np.random.default_rng(0).integers(0, 256, (len(LABELS), 8, 8, 3), np.uint8)
    fields = ("dataset_name=python", "image_size=8", f"loader={loader}", *fields)
    config = load_config("digits", ["batch_size=6", *(f"dataset.{field}" for field in fields)])
    part = (images, LABELS)
    with from_python.given({"train": part, "test": part, "class_names": list("abcd")}):
        return build_source(config)


def batches_of(source, epoch=0):
    prepare = jax.jit(source.prepare)
    return [prepare(source.device_data, batch) for batch in source.train_batches(epoch)]


def test_balanced_weights_give_each_class_the_same_total():
    weights = class_balance.class_weights("balanced", LABELS, 4)
    np.testing.assert_allclose(weights, [24 / (3 * 16), 24 / (3 * 3), 0, 24 / (3 * 5)])
    totals = np.bincount(LABELS, weights[LABELS], minlength=4)
    np.testing.assert_allclose(totals, [8, 8, 0, 8], rtol=1e-6)


def test_a_set_for_evaluation_alone_needs_no_weights():
    with np.errstate(all="raise"):
        weights = class_balance.class_weights("balanced", np.empty(0, np.int64), 2)
    np.testing.assert_array_equal(weights, [0, 0])


def test_balanced_order_has_each_class_and_each_of_its_images_equally_often():
    order = class_balance.balanced_order(LABELS, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(LABELS[order]), [8, 8, 0, 8])
    times = np.bincount(order, minlength=len(LABELS))
    assert times[LABELS == 0].max() == 1
    assert set(times[LABELS == 1]) == {2, 3}
    assert set(times[LABELS == 3]) == {1, 2}
    other = class_balance.balanced_order(LABELS, np.random.default_rng(1))
    assert not np.array_equal(order, other)


@pytest.mark.parametrize("field", ["class_weights=balanced", "sampling=balanced"])
@pytest.mark.parametrize("level", ["none", "mixup"])
def test_batches_are_the_same_with_every_loader(monkeypatch, field, level):
    fields = (field, f"batch_level_augmentations={level}")
    sources = [source_of(*fields), source_of(*fields, loader="device")]
    monkeypatch.setattr(tensorflow_cpu, "is_installed", lambda: False)
    sources.append(source_of(*fields))
    assert len({type(source) for source in sources}) == 3
    first, *others = map(batches_of, sources)
    assert ("weight" in first[0]) == ("weights" in field)
    for other in others:
        for expected, found in zip(first, other, strict=True):
            assert expected.keys() == found.keys()
            for key in expected:
                np.testing.assert_allclose(found[key], expected[key], atol=1e-6)


def test_an_epoch_of_balanced_classes_resumes():
    source = source_of("sampling=balanced")
    labels = np.concatenate([batch["label"] for batch in source.train_batches(3)])
    np.testing.assert_array_equal(labels.sum(0), [8, 8, 0, 8])
    (_, _, *expected), found = (list(source.train_batches(3, step)) for step in (0, 2))
    for batch, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(batch["image"], other["image"])


def test_a_list_weighs_the_images_of_each_class():
    for batch in batches_of(source_of("class_weights=[1, 2.5, 0, 0.5]")):
        expected = np.array([1, 2.5, 0, 0.5])[np.argmax(batch["label"], -1)]
        np.testing.assert_array_equal(batch["weight"], expected)


def test_the_loss_is_the_mean_of_the_weighted_cross_entropies():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, images, train):
            return nn.Dense(4)(images.reshape(len(images), -1))

    (batch, *_) = batches_of(source_of("class_weights=balanced"))
    model = Net()
    params = model.init(jax.random.key(0), batch["image"], train=False)["params"]
    loss, _ = Objective(model)(params, {}, batch, {})
    logits = model.apply({"params": params}, batch["image"], train=False)
    expected = jnp.mean(batch["weight"] * cross_entropy(logits, batch["label"]))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert not np.allclose(loss, jnp.mean(cross_entropy(logits, batch["label"])))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (["class_weights=[1, 2]"], "class_weights has 2 weights, but there are 4 classes"),
        (["class_weights=even"], "class_weights is 'even'; choose balanced, or a list"),
        (["class_weights=[1, -1, 1, 1]"], "choose balanced, or a list of numbers of at least 0"),
        (["class_weights=[1, 'a', 1, 1]"], "choose balanced, or a list of numbers of at least 0"),
        (["class_weights=[0, 0, 0, 0]"], "is 0 for every class"),
        (["sampling=even"], "Unknown dataset.sampling 'even'; known: "),
        (["sampling=balanced", "class_weights=balanced"], "choose one of them"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(fields, sentence):
    with pytest.raises(UserError) as error:
        source_of(*fields)
    assert sentence in str(error.value)
