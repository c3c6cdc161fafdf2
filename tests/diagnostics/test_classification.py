"""Figures of a classifier, worked out by hand."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from gnp.diagnostics.classification import (
    calibration_error,
    classification_figures,
    draw_confusion,
)
from gnp.training.loss import top_k_errors

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.25, 0.35, 0.4]])
LABELS = np.array([0, 2, 0, 1])
FIGURES = classification_figures(np.log(PROBABILITIES), LABELS, ["a", "b", "c"])


def test_errors_and_loss():
    assert FIGURES["num_images"] == 4
    assert FIGURES["error_rate"] == 0.5
    assert "top_5_error_rate" not in FIGURES  # with so few classes it would be 0
    assert FIGURES["loss"] == pytest.approx(-np.log([0.7, 0.6, 0.2, 0.35]).mean())


def test_the_loss_knows_probabilities_that_are_too_small_for_their_type():
    log_probabilities = np.array([[-500.0, 0.0], [0.0, -500.0]], np.float32)
    assert classification_figures(log_probabilities, [0, 0], ["a", "b"])["loss"] == 250


def test_top_5_counts_the_classes_that_are_ahead():
    probabilities = np.tile(np.arange(1, 8) / 28, (7, 1))
    figures = classification_figures(np.log(probabilities), np.arange(7), list("abcdefg"))
    assert figures["top_5_error_rate"] == pytest.approx(2 / 7)


def logits_with_ties(seed, classes):
    """All equal, or of few levels, so that many are equal."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 4, (64, classes)).astype(np.float32)
    return np.zeros_like(logits) if seed == 0 else logits, rng.integers(0, classes, 64)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [3, 10])
def test_ties_count_as_in_training(seed, classes):
    logits, labels = logits_with_ties(seed, classes)
    figures = classification_figures(logits, labels, list(map(str, range(classes))))
    assert ("top_5_error_rate" in figures) == (classes > 5)
    for name, k in (("error_rate", 1), ("top_5_error_rate", 5)):
        if name not in figures:
            continue
        expected = top_k_errors(logits, np.eye(classes)[labels], k)
        assert figures[name] == pytest.approx(float(np.mean(expected)))
    confusion = np.array(figures["confusion"])
    assert figures["error_rate"] == pytest.approx(1 - np.trace(confusion) / len(labels))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_without_a_prediction_there_are_no_figures(tmp_path, value):
    logits = np.log(PROBABILITIES)
    logits[2, 1] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = classification_figures(logits, LABELS, ["a", "b", "c"])
        draw_confusion(figures, tmp_path / "confusion.png")
    assert figures["num_unpredicted"] == 1
    names = ("error_rate", "loss", "calibration_error")
    assert all(np.isnan(figures[name]) for name in names)
    assert figures["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert [c["images"] for c in figures["classes"]] == [2, 1, 1]
    assert [c["error_rate"] for c in figures["classes"]] == [None, 1.0, 0.0]


def test_confusion_and_classes():
    assert FIGURES["confusion"] == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert FIGURES["classes"] == [
        {"name": "a", "images": 2, "error_rate": 0.5, "predicted": 1},
        {"name": "b", "images": 1, "error_rate": 1.0, "predicted": 1},
        {"name": "c", "images": 1, "error_rate": 0.0, "predicted": 2},
    ]


def test_the_largest_confusions_come_first():
    logits = np.zeros((7, 3))
    predicted, labels = [1, 1, 1, 2, 0, 0, 0], [0, 0, 0, 0, 1, 0, 2]
    logits[np.arange(7), predicted] = 1
    figures = classification_figures(logits, np.array(labels), ["a", "b", "c"])
    assert figures["confusions"] == [
        {"true": "a", "predicted": "b", "images": 3},
        {"true": "a", "predicted": "c", "images": 1},
        {"true": "b", "predicted": "a", "images": 1},
        {"true": "c", "predicted": "a", "images": 1},
    ]


def test_many_classes_have_no_quadratic_output(tmp_path):
    count = 2000
    logits = np.zeros((count, count), np.float32)
    logits[np.arange(count), (np.arange(count) + 1) % count] = 1  # all wrong
    figures = classification_figures(logits, np.arange(count), [f"class {n}" for n in range(count)])
    assert "confusion" not in figures
    assert len(figures["confusions"]) == 50
    assert len(json.dumps(figures)) < 200 * count
    draw_confusion(figures, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert max(picture.size) < 3000


def test_calibration_error_is_the_gap_between_confidence_and_share_of_right_answers():
    confidence = np.array([0.9] * 10 + [0.61] * 10)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    expected = 0.5 * abs(0.9 - 0.9) + 0.5 * abs(0.3 - 0.61)
    assert calibration_error(probabilities, np.where(right, 0, 1)) == pytest.approx(expected)


def test_picture_takes_any_names(tmp_path):
    names = ["US$_to_$EUR", "\udcff$\\foo$ Tomato___Spider_mites Two-spotted_spider_mite", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that there is no room for the names
        figures = classification_figures(np.log(PROBABILITIES), LABELS, names)
        draw_confusion(figures, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_picture_is_drawn(tmp_path):
    draw_confusion(FIGURES, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
