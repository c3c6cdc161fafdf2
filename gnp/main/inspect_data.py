"""Shows the model's input for a config, or checks that all image files can be read.

python -m gnp.main.inspect_data --config=config/digits.py [--out=FILE.png] [--config.FIELD=VALUE …]
python -m gnp.main.inspect_data --config=… --verify
"""

import itertools
import pathlib
import time

import numpy as np
from absl import flags

from gnp.ds_pipeline import build as data
from gnp.ds_pipeline.images import bad_images
from gnp.ds_pipeline.labelled_data import targets
from gnp.errors import UserError
from gnp.files import make_folder
from gnp.main import app, config
from gnp.main.shown_images import as_shown, completed
from gnp.main.start.own_parts import import_modules
from gnp.report.image_grid import save_image_grid
from gnp.training.monitoring.progress import Counter

_IMAGES_SHOWN = 32
_IMAGES_MEASURED = 2000
_SECONDS_MEASURED = 5.0


def define_flags() -> None:
    """The flags of this command."""
    flags.adopt_module_key_flags(config)
    flags.DEFINE_string("out", "data.png", "Where the picture is saved.")
    flags.DEFINE_bool("verify", False, "Read every file once and list those that are bad.")


def main() -> None:
    """Runs the command."""
    settings = config.read_config()
    import_modules(settings)
    if flags.FLAGS.verify:
        verify_files(settings)
    else:
        out = pathlib.Path(flags.FLAGS.out)
        if out.suffix.lower() != ".png":
            raise UserError(f"--out is {out}, but the picture is a PNG file; name one, NAME.png.")
        make_folder(out.parent, "--out")
        inspect(settings, out)


def inspect(settings, out: pathlib.Path) -> None:
    """Prints statistics of the data and the pipeline's speed, and saves a picture of images."""
    source = data.build_source(settings)
    prepare, prepare_eval = (
        completed(source, source.prepare),
        completed(source, source.prepare_eval),
    )
    train = _some(map(prepare, source.train_batches(epoch=0)))
    evaluation = _some(map(prepare_eval, source.eval_batches()))
    print(f"{settings.dataset.dataset_name}: images of {source.image_shape}")
    _print_counts(source)
    for name, batch in (("train", train), ("eval", evaluation)):
        _print_statistics(source, name, batch["image"])
    print(f"pipeline: {_images_per_second(source, prepare):,.0f} images/s")
    if source.num_wrong_labels:
        train["true_label"] = _true_labels(source, -(-_IMAGES_SHOWN // settings.batch_size))
    shown = {
        "train (augmented)": _to_show(source, train),
        "eval": _to_show(source, evaluation),
    }
    if source.num_wrong_labels:
        wrong = _some(map(prepare_eval, source.wrong_label_batches()))
        shown["train, wrong labels"] = _to_show(source, wrong)
    save_image_grid(out, shown)
    print(f"picture: {out}")


def verify_files(settings) -> None:
    """Reads every image file once and prints those that cannot be used.

    Raises:
      UserError: some files cannot be used.
    """
    settings = data.filled_in(settings)
    found = data.load_data(settings)
    if found.in_memory:
        print(f"{settings.dataset.dataset_name}: all {len(found.train) + len(found.test)} read.")
        return
    paths = np.concatenate([found.train.images, found.test.images])
    with Counter(len(paths), "files") as counter:
        bad = bad_images.find_bad_images(paths, settings.dataset.num_channels, counter.update)
    for path, why in bad.items():
        print(f"{path}: {why}")
    print(f"{len(paths)} files read, {len(bad)} of them bad.")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(paths)} files cannot be used; fix or remove them, or set "
            "dataset.on_bad_image to skip."
        )


def _some(batches):
    """The first whole batches with at least _IMAGES_MEASURED images, joined, without padding."""
    batches = list(_until(batches, _IMAGES_MEASURED))
    joined = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    real = joined.get("mask", np.ones(len(joined["image"]))) > 0
    return {key: values[real] for key, values in joined.items()}


def _until(batches, num_images):
    taken = 0
    for batch in batches:
        yield batch
        taken += len(batch["image"])
        if taken >= num_images:
            return


def _print_counts(source):
    images = {"train": source.num_train_images, "eval": source.num_eval_images}
    for part, counts in source.class_counts().items():
        named = ", ".join(f"{n} {c}" for n, c in zip(source.class_names, counts, strict=True))
        print(f"{part}: {images[part]} images ({named})")
    if source.class_weights is not None:
        weights = zip(source.class_names, source.class_weights, strict=True)
        print(f"class weights: {', '.join(f'{name} {weight:.3g}' for name, weight in weights)}")
    if noise := source.label_noise:
        named = ", ".join(f"{n} {c}" for n, c in noise["changed_per_class"].items())
        print(
            f"label noise: {noise['changed']} of {noise['num_images']} training labels changed "
            f"(by true class: {named})"
        )


def _print_statistics(source, name, images):
    pixels = as_shown(source, images)
    mean, std = (", ".join(f"{x:.4f}" for x in f((0, 1, 2))) for f in (pixels.mean, pixels.std))
    print(f"{name}: mean {mean}, std {std} per channel, over {len(images)} images")


def _images_per_second(source, prepare):
    """Throughput over whole epochs, without the start of the pipeline."""
    epochs = (source.train_batches(epoch) for epoch in itertools.count())
    batches = map(prepare, itertools.chain.from_iterable(epochs))
    next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < _SECONDS_MEASURED:
        count += len(next(batches)["image"])
    return count / (time.perf_counter() - start)


def _to_show(source, batch):
    images = as_shown(source, batch["image"][:_IMAGES_SHOWN])
    labels = batch["label"][:_IMAGES_SHOWN]
    true_labels = batch.get("true_label", labels)[:_IMAGES_SHOWN]
    return images, [_full_caption(source, *pair) for pair in zip(labels, true_labels, strict=True)]


def _true_labels(source, num_batches):
    """Those of the first training batches."""
    classes = np.concatenate(list(itertools.islice(source.true_classes(0), num_batches)))
    return targets(np, classes, len(source.class_names))


def _full_caption(source, label, true_label):
    """The label; if it is wrong, the true one too. A mixed label stands alone."""
    caption = _caption(source, label)
    if not _is_mixed(label) and (label != true_label).any():
        caption += f"\n(true: {_caption(source, true_label)})"
    return caption


def _is_mixed(label):
    return not np.isin(label, (0, 1)).all()


def _caption(source, label):
    """The names of the classes, of mixed ones the first two with their weights."""
    if not _is_mixed(label):
        return "\n".join(source.class_names[number] for number in np.flatnonzero(label))
    shown = [number for number in np.argsort(label)[::-1][:2] if label[number] > 0]
    return "\n".join(f"{source.class_names[number]} {label[number]:.2f}" for number in shown)


if __name__ == "__main__":
    app.run(main, define_flags)
