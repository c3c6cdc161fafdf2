"""Config files and the fields that the command line overrides."""

import json

import pytest

from gnp.errors import UserError
from gnp.main.config import as_plain_flags, load_config

DIGITS = "config/digits.py"


def write_config(folder, body):
    file = folder / "mine.py"
    file.write_text(f"from config import base\n\n\ndef get_config():\n{body}")
    return str(file)


def test_fields_come_from_the_defaults_the_file_and_the_overrides():
    config = load_config(DIGITS, ["gnp.r=0.1", "seeds=3"])
    assert config.label_smoothing == 0.0
    assert config.dataset.dataset_name == "digits"
    assert (config.gnp.r, config.seeds) == (0.1, 3)


def test_the_last_override_wins():
    assert load_config(DIGITS, ["gnp.r=0.1", "gnp.r=0.2"]).gnp.r == 0.2


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("base_lr=1", 1.0),
        ("base_lr=1e-3", 1e-3),
        ("batch_size=32", 32),
        ("retrain=true", True),
        ("retrain=False", False),
        ("retrain=1", True),
        ("lr_schedule_type=constant", "constant"),
        ("model.model_module=12", "12"),
        ("modules=my_parts.py", ("my_parts.py",)),
        ("modules=my_parts.py,more.py", ("my_parts.py", "more.py")),
        ("modules=['my_parts.py']", ("my_parts.py",)),
        ("lr_stepped_schedule=[[1, 0.5], [2, 0.1]]", ((1, 0.5), (2, 0.1))),
    ],
)
def test_overrides_have_the_type_of_their_field(override, value):
    config = load_config(DIGITS, [override])
    for name in override.partition("=")[0].split("."):
        config = config[name]
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("gnp.r=big", "sets gnp.r to 'big', but it takes a number"),
        ("gnp.r=true", "sets gnp.r to True, but it takes a number"),
        ("batch_size=64.5", "sets batch_size to 64.5, but it takes a whole number"),
        ("retrain=maybe", "sets retrain to 'maybe', but it takes True or False"),
        ("lr_stepped_schedule=3", "but it takes a list"),
        ("gnp=3", "sets gnp to 3, but it is a block of fields"),
        ("opt.opt_params=3", "sets opt.opt_params to 3, but it is a block of fields"),
        ("gnp.perturbation_batch=many", "but it takes a whole number; its default is None."),
        ("gnp.alhpa=0.1", "sets gnp.alhpa, but there is no such field; nearest: gnp.alpha,"),
        ("bach_size=64", "nearest: batch_size,"),
        ("batch_size.x=64", "sets batch_size to {'x': '64'}, but it takes a whole number"),
    ],
)
def test_a_wrong_override_is_refused_in_one_sentence(override, sentence):
    with pytest.raises(UserError) as error:
        load_config(DIGITS, [override])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_field_that_is_unset_takes_its_type_or_none():
    assert load_config(DIGITS).gnp.perturbation_batch is None
    assert load_config(DIGITS, ["gnp.perturbation_batch=8"]).gnp.perturbation_batch == 8
    assert load_config(DIGITS, ["gnp.perturbation_batch=None"]).gnp.perturbation_batch is None


def test_arguments_of_optimizer_and_model_are_open():
    overrides = [
        "opt.opt_params.momentum=0.8",
        "opt.opt_params.nesterov=true",
        "model.model_params.patches.size=4",
        "model.model_params.patches.kind=overlapping",
        "model.model_params={'hidden_size': 64}",
    ]
    config = load_config(DIGITS, overrides)
    assert config.opt.opt_params.to_dict() == {"momentum": 0.8, "nesterov": True}
    assert config.model.model_params.to_dict() == {
        "patches": {"size": 4, "kind": "overlapping"},
        "hidden_size": 64,
    }


def test_a_resolved_config_cannot_be_changed_and_is_json():
    config = load_config(DIGITS)
    with pytest.raises(AttributeError):
        config.batch_size = 3
    assert json.loads(json.dumps(config.to_dict()))["batch_size"] == config.batch_size


def test_a_file_beside_the_package_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(DIGITS).dataset.dataset_name == "digits"


def test_a_file_in_any_folder_finds_the_defaults_and_its_neighbours(tmp_path):
    (tmp_path / "shared_values.py").write_text("RADIUS = 0.25\n")
    file = write_config(
        tmp_path,
        "    import shared_values\n    config = base.get_config()\n"
        "    config.gnp.r = shared_values.RADIUS\n    return config\n",
    )
    assert load_config(file).gnp.r == 0.25


def test_a_file_may_set_a_few_fields_in_a_plain_dictionary(tmp_path):
    file = write_config(
        tmp_path, "    return {'gnp': {'r': 1}, 'opt': {'opt_params': {'b1': 0.8}}}\n"
    )
    config = load_config(file)
    assert config.gnp.r == 1.0
    assert config.opt.opt_params.b1 == 0.8
    assert config.batch_size == 256


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("    return {'gnp': {'rr': 1}}\n", "mine.py sets gnp.rr, but there is no such field"),
        ("    return {'gnp': {'r': 'x'}}\n", "mine.py sets gnp.r to 'x', but it takes a number"),
        ("    return {}.missing\n", "fails in line 5: AttributeError: 'dict' object has no"),
        ("    return (\n", "fails in line 5: SyntaxError:"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, body, sentence):
    with pytest.raises(UserError) as error:
        load_config(write_config(tmp_path, body))
    assert sentence in str(error.value)


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"There is no config file .*/config/digit\.py;"):
        load_config("config/digit.py")


def test_a_file_without_get_config_is_refused(tmp_path):
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match="has no attribute 'get_config'"):
        load_config(str(tmp_path / "empty.py"))


def test_overrides_become_flags_that_absl_knows():
    arguments = ["main", "--config=x.py", "--config.gnp.r=0.1", "--working_dir=d"]
    assert as_plain_flags(arguments) == [
        "main",
        "--config=x.py",
        "--config_field=gnp.r=0.1",
        "--working_dir=d",
    ]
    assert as_plain_flags(["main", "--config.seeds", "3", "--config.retrain"]) == [
        "main",
        "--config_field=seeds=3",
        "--config_field=retrain=True",
    ]
    assert as_plain_flags(["main", "--noconfig.retrain", "--", "--config.seeds=3"]) == [
        "main",
        "--config_field=retrain=False",
        "--",
        "--config.seeds=3",
    ]
    assert as_plain_flags(["--config.model.model_params={'a': 'b=c'}"]) == [
        "--config_field=model.model_params={'a': 'b=c'}"
    ]


def test_overrides_of_python_code_may_be_values():
    expected = load_config("digits", ["gnp.r=0.1", "lr_stepped_schedule=((1, 0.5),)"])
    given = {"gnp.r": 0.1, "lr_stepped_schedule": ((1, 0.5),)}
    assert load_config("digits", given) == expected
    assert load_config("digits", "gnp.r=0.1").gnp.r == 0.1
    with pytest.raises(UserError, match=r"sets gnp\.r to 'high', but it takes a number"):
        load_config("digits", {"gnp.r": "high"})
