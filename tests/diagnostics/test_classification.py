"""Figures of a classifier, worked out by hand."""

import warnings

import numpy as np
import pytest

from gnp.diagnostics.classification import (
    calibration_error,
    classification_figures,
    draw_confusion,
)

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.25, 0.35, 0.4]])
LABELS = np.array([0, 2, 0, 1])
FIGURES = classification_figures(np.log(PROBABILITIES), LABELS, ["a", "b", "c"])


def test_errors_and_loss():
    assert FIGURES["num_images"] == 4
    assert FIGURES["error_rate"] == 0.5
    assert FIGURES["top_5_error_rate"] == 0
    assert FIGURES["loss"] == pytest.approx(-np.log([0.7, 0.6, 0.2, 0.35]).mean())


def test_the_loss_knows_probabilities_that_are_too_small_for_their_type():
    log_probabilities = np.array([[-500.0, 0.0], [0.0, -500.0]], np.float32)
    assert classification_figures(log_probabilities, [0, 0], ["a", "b"])["loss"] == 250


def test_top_5_counts_the_classes_that_are_ahead():
    probabilities = np.tile(np.arange(1, 8) / 28, (7, 1))
    figures = classification_figures(np.log(probabilities), np.arange(7), list("abcdefg"))
    assert figures["top_5_error_rate"] == pytest.approx(2 / 7)


def test_confusion_and_classes():
    assert FIGURES["confusion"] == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert FIGURES["classes"] == [
        {"name": "a", "images": 2, "error_rate": 0.5, "predicted": 1},
        {"name": "b", "images": 1, "error_rate": 1.0, "predicted": 1},
        {"name": "c", "images": 1, "error_rate": 0.0, "predicted": 2},
    ]


def test_calibration_error_is_the_gap_between_confidence_and_share_of_right_answers():
    confidence = np.array([0.9] * 10 + [0.61] * 10)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    expected = 0.5 * abs(0.9 - 0.9) + 0.5 * abs(0.3 - 0.61)
    assert calibration_error(probabilities, np.where(right, 0, 1)) == pytest.approx(expected)


def test_picture_takes_any_names(tmp_path):
    names = ["US$_to_$EUR", "Tomato___Spider_mites Two-spotted_spider_mite", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that there is no room for the names
        figures = classification_figures(np.log(PROBABILITIES), LABELS, names)
        draw_confusion(figures, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_picture_is_drawn(tmp_path):
    draw_confusion(FIGURES, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
