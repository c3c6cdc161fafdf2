"""Names the classes of image files, as a trained run sees them.

python -m gnp.main.predict --run=RUN_FOLDER IMAGE|FOLDER … [--top=5] [--out=FILE.csv|FILE.jsonl]
    [--weights=raw|ema] [--checkpoint=best|last|STEP|average:N] [--config.FIELD=VALUE]

Of a folder it takes all images in it and in the folders within. No labels are needed. An image that
cannot be used is named and skipped; the exit code is 1 then.
"""

import csv
import io
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from gnp.ds_pipeline.datasets.class_folders import images_below
from gnp.errors import SkippedError, UserError, printable
from gnp.files import file_to_write, kind, write_atomically
from gnp.main import app
from gnp.main.run import Run
from gnp.main.saved import saved_run
from gnp.main.saved.predictor import top_classes
from gnp.training.monitoring.progress import Counter

_SUFFIXES = (".csv", ".jsonl")

# Lines on the terminal if there is a file with all of them.
_LINES_SHOWN = 20


class Prediction(NamedTuple):
    """What the model makes of a file.

    Attributes:
      file: its path.
      classes: the most probable ones with their probabilities, the first one first; empty if the
        model computes no finite numbers.
    """

    file: str
    classes: Sequence[tuple[str, float]]


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    saved_run.define_weights_flag()
    flags.DEFINE_integer("top", 5, "How many classes of each image.", lower_bound=1)
    flags.DEFINE_string("out", None, "A file for the predictions, NAME.csv or NAME.jsonl.")


def main(paths: Sequence[str]) -> None:
    """Prints, and writes if wanted, the classes of the images that the arguments name."""
    values = flags.FLAGS
    if not paths:
        raise UserError("No image is named; name files or folders, as in gnp predict photo.jpg.")
    folder = saved_run.folder_from_flags()
    files = find_files(paths)
    out = _checked(values.out)
    run = Run(folder, saved_run.config_of(folder), values.checkpoint, values.weights)
    predictions = predict_files(run, files, values.top)
    if not predictions:
        raise UserError(f"None of the {len(files)} files can be used; see above.")
    print("\n".join(lines(predictions, _LINES_SHOWN if out else len(files))), flush=True)
    if out:
        replaced = ", in the place of an earlier file" if out.exists() else ""
        write_atomically(out, as_csv(predictions) if out.suffix == ".csv" else as_json(predictions))
        print(f"Predictions: {out}{replaced}")
    if skipped := len(files) - len(predictions):
        raise SkippedError(f"{skipped} of {len(files)} files were skipped; see above.")


def find_files(paths: Sequence[str]) -> list[str]:
    """The image files that paths name, each once: files as they are, and the images of folders.

    Raises:
      UserError: there is no such file, or a folder has no images.
    """
    if "" in paths:
        raise UserError("An argument is empty; name image files, or folders with images.")
    files = []
    for path in map(pathlib.Path, paths):
        found = kind(path)
        if found == "nothing":
            raise UserError(f"There is no {path}; name image files, or folders with images.")
        if found not in ("a file", "a folder"):
            raise UserError(f"{path} is {found}; name image files, or folders with images.")
        files += map(pathlib.Path, images_below(path)) if found == "a folder" else [path]
    return list(dict.fromkeys(map(str, files)))


def predict_files(run: Run, files: Sequence[str], top: int) -> list[Prediction]:
    """The classes of image files; stderr names those that cannot be used, which are skipped.

    Args:
      run: whose model is asked.
      files: their paths.
      top: classes of each.
    """

    def name(error):
        print(f"Skipped: {error}", file=sys.stderr)
        counter.update()

    predictions = []
    with Counter(len(files), "images") as counter:
        for index, row in run.predictor.each(files, on_bad=name):
            classes = top_classes(row, run.class_names, top)
            predictions.append(Prediction(files[index], classes))
            counter.update()
    return predictions


def lines(predictions: Sequence[Prediction], most: int) -> list[str]:
    """A line for each file, and one that counts the rest if there are more than `most`."""
    shown = predictions[:most]
    files = [repr(p.file)[1:-1] for p in shown]  # a name may have line breaks
    width = max(map(len, files))
    text = [
        f"{file:<{width}}  " + "  ".join(f"{name} {100 * share:.1f} %" for name, share in p.classes)
        if p.classes
        else f"{file:<{width}}  no prediction: the model computes no finite numbers"
        for file, p in zip(files, shown, strict=True)
    ]
    rest = len(predictions) - len(shown)
    return [*text, f"… and {rest:,} more"] if rest else text


def as_csv(predictions: Sequence[Prediction]) -> str:
    """The predictions with a header: `file,class_1,probability_1,class_2,…`."""
    count = max(len(p.classes) for p in predictions)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ranks = range(1, count + 1)
    writer.writerow(["file", *(f"{name}_{n}" for n in ranks for name in ("class", "probability"))])
    for file, classes in predictions:
        cells = [value for name, share in classes for value in (name, f"{share:.6g}")]
        writer.writerow([file, *cells, *[""] * (2 * count - len(cells))])
    return text.getvalue()


def as_json(predictions: Sequence[Prediction]) -> str:
    """A line for each file: `{"file": …, "classes": [{"class": …, "probability": …}, …]}`."""
    return "".join(
        json.dumps(
            {
                "file": printable(file),
                "classes": [
                    {"class": name, "probability": float(f"{share:.6g}")} for name, share in classes
                ],
            }
        )
        + "\n"
        for file, classes in predictions
    )


def _checked(out):
    """The file for the predictions; its folder exists."""
    if not out:
        return None
    out = pathlib.Path(out)
    if out.suffix not in _SUFFIXES:
        raise UserError(f"--out is {out}; name a file that ends with .csv or .jsonl.")
    return file_to_write(out, "--out")


if __name__ == "__main__":
    app.run(main, define_flags, arguments="IMAGE|FOLDER")
