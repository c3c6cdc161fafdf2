"""When the fields of the data have an effect. `gnp.main.fields.effects` checks them."""

from gnp.ds_pipeline.augment import levels
from gnp.main.fields.effect_rules import Rule

# Data sets whose images are made, or come with a package; files of one's own; images of one's own
# that are read into memory in any case; and others.
_WITHOUT_FILES = ("digits", "fake")
_FOLDERS = ("image_folder", "imagenet")
_FILES = ("csv", "image_folder")
_IN_DATA_DIR = ("huggingface", "npz", "webdataset")
_IN_MEMORY = (*_IN_DATA_DIR, "python", "tfds")
_PUBLISHED = ("cifar10", "cifar100", "fashion_mnist", "svhn")
BUILT_IN = tuple({*_WITHOUT_FILES, *_FOLDERS, *_FILES, *_IN_MEMORY, *_PUBLISHED})


def _data_is(*names):
    """Whether the data set is one of these, or one of the user's own, which may use any field."""
    return lambda c: c.dataset.dataset_name in names or c.dataset.dataset_name not in BUILT_IN


def _image_level(config):
    return levels.IMAGE_LEVEL[config.dataset.image_level_augmentations]


def _batch_level(config):
    return levels.BATCH_LEVEL[config.dataset.batch_level_augmentations]


def _mixes(config):
    is_set_for_photos = config.dataset.imagenet_mixup_alpha > 0 and _data_is("imagenet")(config)
    return bool(_batch_level(config).mix) and not is_set_for_photos


def _uses_tensorflow(config):
    has_files = not _data_is(*_WITHOUT_FILES)(config)
    has_policy = bool(_image_level(config).operations)
    return config.dataset.loader == "tfdata" and (has_files or has_policy)


DATA_RULES = (
    Rule(
        "dataset.data_dir",
        _data_is(*_FILES, *_IN_DATA_DIR, *_PUBLISHED),
        "dataset.dataset_name does not read it",
    ),
    Rule(
        "tfds_dir",
        lambda c: _data_is("tfds")(c) or (_data_is(*_PUBLISHED)(c) and not c.dataset.data_dir),
        "the images do not come from tensorflow-datasets",
    ),
    Rule("dataset.tfds_name", _data_is("tfds"), "dataset.dataset_name is not tfds"),
    Rule(
        "imagenet_train_dir imagenet_val_dir dataset.imagenet_mixup_alpha",
        _data_is("imagenet"),
        "dataset.dataset_name is not imagenet",
    ),
    Rule("dataset.fake_kind", _data_is("fake"), "dataset.dataset_name is not fake"),
    Rule(
        "dataset.on_bad_image",
        _data_is(*_FOLDERS, *_FILES),
        "the images are not files of your own",
    ),
    Rule(
        "dataset.recursive",
        _data_is(*_FOLDERS),
        "the images are not files of a folder",
    ),
    Rule(
        "dataset.resize",
        _data_is(*_FILES, *_IN_MEMORY),
        "only images of your own are resized",
    ),
    Rule("dataset.antialias", _data_is("imagenet"), "dataset.dataset_name is not imagenet"),
    Rule(
        "imagenet_val_dir",
        lambda c: c.use_test_set,
        "use_test_set is False, so a part of the training set is held out instead",
    ),
    Rule(
        "dataset.memory_limit_gb",
        lambda c: (
            _data_is(*_IN_MEMORY)(c) or (_data_is(*_FILES)(c) and c.dataset.loader == "tfdata")
        ),
        "only images of your own with loader=tfdata are kept in memory up to a limit",
    ),
    Rule(
        "dataset.num_parallel_calls",
        _uses_tensorflow,
        "these images and augmentations need no input pipeline of tensorflow",
    ),
    Rule(
        "dataset.crop_padding",
        lambda c: _image_level(c).crop and c.dataset.dataset_name != "imagenet",
        "dataset.image_level_augmentations pads no images for a crop",
    ),
    Rule(
        "dataset.randaug_num_layers dataset.randaug_magnitude",
        lambda c: _image_level(c).operations == "randaugment",
        "dataset.image_level_augmentations is not randaugment",
    ),
    Rule(
        "dataset.mixup_alpha",
        _mixes,
        "dataset.batch_level_augmentations mixes no images with this alpha",
    ),
    Rule(
        "dataset.cutout_length",
        lambda c: _batch_level(c).cutout,
        "dataset.batch_level_augmentations has no cutout; set it to cutout or mixcut",
    ),
    Rule(
        "dataset.label_noise_kind dataset.label_noise_seed",
        lambda c: c.dataset.label_noise > 0,
        "dataset.label_noise is 0",
    ),
)
