"""Pictures: whole or not at all, and names as they are."""

import pytest

from gnp.errors import CannotWriteError
from gnp.report.style import new_figure, plain, save_figure
from tests.training.full_disk import files_of_at_most


def figure_with(text):
    figure = new_figure(2, 2)
    return figure, figure.text(0.1, 0.5, plain(text))


@pytest.mark.parametrize("text", [r"$\foo$", "$", "$$", r"\$x$", "a_b^c", "x\ny", "name", "%"])
def test_names_are_no_mathematics(tmp_path, text):
    figure, artist = figure_with(text)
    save_figure(figure, tmp_path / "picture.png")
    assert artist._preprocess_math(artist.get_text()) == (text, False)


def test_bytes_that_are_not_utf_8_are_replaced(tmp_path):
    figure, artist = figure_with("\udcff$🙂")
    save_figure(figure, tmp_path / "picture.png")
    assert "\ufffd" in artist.get_text()


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with files_of_at_most(100), pytest.raises(CannotWriteError, match=r"picture\.png cannot be"):
        save_figure(figure_with("")[0], path)
    assert [(p, p.read_bytes()) for p in tmp_path.iterdir()] == [(path, b"old")]
    with pytest.raises(CannotWriteError):
        save_figure(figure_with("")[0], tmp_path / "nosuch" / "picture.png")
