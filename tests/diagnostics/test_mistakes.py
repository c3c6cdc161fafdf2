"""The images that a classifier gets wrong."""

import csv
import io

import numpy as np
import pytest

from gnp.diagnostics.mistakes import as_csv, caption, find_mistakes

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.25, 0.45], [0.2, 0.5, 0.3], [0.25, 0.35, 0.4]])
LABELS = np.array([0, 1, 0, 2])
LOGITS = np.log(PROBABILITIES)
NAMES = ["a cat", "b, dog", 'c"bird']


def test_the_smallest_probability_of_the_true_class_comes_first():
    worst, other = find_mistakes(LOGITS, LABELS)
    assert (worst.image, worst.true, worst.predicted) == (2, 0, 1)
    assert (worst.probability, worst.probability_of_true) == pytest.approx((0.5, 0.2))
    assert (other.image, other.true, other.predicted) == (1, 1, 2)


def test_images_without_a_prediction_are_the_worst():
    logits = LOGITS.copy()
    logits[3, 0] = np.nan
    unpredicted, *others = find_mistakes(logits, LABELS)
    assert unpredicted == (3, 2, None, None, None)
    assert others == find_mistakes(LOGITS, LABELS)
    assert caption(unpredicted, NAMES) == 'true: c"bird\nno prediction'


def test_of_a_tie_the_first_class_is_predicted_as_in_training():
    assert find_mistakes(np.zeros((1, 3)), np.array([0])) == []
    assert find_mistakes(np.zeros((1, 3)), np.array([1]))[0].predicted == 0


def test_the_list_has_names_of_classes_and_files():
    mistakes = find_mistakes(LOGITS, LABELS)
    files = np.array([f"{n},.png" for n in range(4)])
    rows = list(csv.DictReader(io.StringIO(as_csv(mistakes, NAMES, files))))
    assert rows[0] == {
        "image": "2",
        "file": "2,.png",
        "true": "a cat",
        "predicted": "b, dog",
        "probability": "0.5",
        "probability_of_true": "0.2",
    }
    assert len(rows) == 2
    assert [row["file"] for row in csv.DictReader(io.StringIO(as_csv(mistakes, NAMES, None)))] == [
        "",
        "",
    ]


def test_long_names_are_cut_below_a_picture():
    (mistake, *_) = find_mistakes(LOGITS, LABELS)
    assert caption(mistake, NAMES) == "true: a cat\npredicted: b, dog 50 %"
    lines = caption(mistake, ["x" * 100] * 3).splitlines()
    assert max(map(len, lines)) < 35
