"""How runs are grouped, ordered and named."""

import pytest

from gnp.regularization.ascent import ONE_PASS
from gnp.report import run_groups
from gnp.report.run_groups import Run, format_differences, group_runs, is_standard, references


def make_run(**changes):
    config = {
        "model.model_name": "Net",
        "dataset.dataset_name": "digits",
        "gnp.r": 0.0,
        "gnp.alpha": 0.0,
        "gnp.ascent": "gradient",
        "seeds": 0,
        "logging.basic_logger_level": "debug",
    }
    return Run(config | {name.replace("__", "."): v for name, v in changes.items()}, {}, [])


def penalized(r, alpha, **changes):
    return make_run(gnp__r=r, gnp__alpha=alpha, **changes)


def names(*runs):
    return list(group_runs(runs))


def test_seeds_make_one_group():
    another = {"seeds": 1, "init_seeds": 2, "dataset__label_noise_seed": 3}
    groups = group_runs([make_run(), make_run(**another, logging__basic_logger_level="info")])
    assert [(name, len(runs)) for name, runs in groups.items()] == [("Net on digits", 2)]
    assert [run.seeds for run in groups["Net on digits"]] == [(0, 0, 0), (2, 1, 3)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"gnp.r": 0.1}, True),
        ({"gnp.alpha": 0.8}, True),
        ({"gnp.r": 0.1, "gnp.alpha": 0.8}, False),
        ({"regularization.input_gradient.strength": 0.1}, False),
        ({"regularization.input_gradient.form": "squared"}, True),
        ({"regularization.weight.l1.strengths": [["kernel", 0.1]]}, False),
        ({"regularization.weight.threshold.limits": []}, True),
    ],
)
def test_standard_training_has_no_penalty(fields, expected):
    assert is_standard({"gnp.r": 0.0, "gnp.alpha": 0.0} | fields) == expected


def test_names_are_short_and_the_reference_comes_first():
    runs = [penalized(1.0, 0.8), penalized(0.5, 1.0), make_run(), penalized(10.0, 0.8)]
    assert names(*runs) == ["standard", "SAM r=0.5", "r=1 alpha=0.8", "r=10 alpha=0.8"]


def test_a_run_that_changed_while_it_trained_is_named_by_the_change():
    changed = make_run(base_lr=0.05, changed="base_lr=0.1->0.05@step4")
    assert names(make_run(base_lr=0.05), changed) == ["unchanged", "base_lr=0.1->0.05@step4"]
    assert names(make_run(base_lr=0.1), changed) == [
        "base_lr=0.05 base_lr=0.1->0.05@step4",
        "base_lr=0.1",
    ]
    others = make_run(base_lr=0.05), penalized(0.1, 0.8, base_lr=0.05)
    assert names(*others, changed) == [
        "standard",
        "standard base_lr=0.1->0.05@step4",
        "r=0.1 alpha=0.8",
    ]


def test_each_group_is_compared_with_standard_training_of_its_own_settings():
    groups = group_runs(
        [
            make_run(noise=0.0),
            make_run(noise=0.4),
            penalized(0.1, 0.8, noise=0.0),
            penalized(0.1, 0.8, noise=0.4, gr_warmup_strategy="zero"),
            penalized(0.1, 0.8, noise=0.2),
        ]
    )
    assert references(groups) == {
        "standard": None,
        "standard noise=0.4": None,
        "r=0.1 alpha=0.8": "standard",
        "r=0.1 alpha=0.8 noise=0.2": "standard",
        "r=0.1 alpha=0.8 gr_warmup_strategy=zero noise=0.4": "standard noise=0.4",
    }


def test_the_first_group_is_the_reference_where_no_standard_training_is():
    assert references(group_runs([penalized(0.1, 0.8), penalized(0.5, 0.8)])) == {
        "r=0.1": None,
        "r=0.5": "r=0.1",
    }
    # Standard training that is nobody's reference is compared too.
    assert references(group_runs([make_run(smoothing=0.0), make_run(smoothing=0.1)])) == {
        "smoothing=0": None,
        "smoothing=0.1": "smoothing=0",
    }


def test_sam_is_named_so_only_where_it_is_sam():
    runs = [make_run(), penalized(0.5, 1.0, gnp__mode="exact"), penalized(0.5, 1.0)]
    assert names(*runs) == ["standard", "SAM r=0.5", "r=0.5 alpha=1 mode=exact"]
    random, adaptive = (penalized(0.5, 1.0, gnp__ascent=name) for name in ("random", "adaptive"))
    assert names(make_run(), random) == ["standard", "r=0.5 alpha=1 ascent=random"]
    assert names(make_run(), adaptive) == ["standard", "SAM r=0.5 ascent=adaptive"]
    one_pass = penalized(1.0, 1.0, gnp__ascent="momentum")
    assert names(make_run(), one_pass) == ["standard", "r=1 ascent=momentum"]
    assert names(random, adaptive) == ["ascent=adaptive", "ascent=random"]


def test_one_pass_forms_are_those_of_the_ascents():
    assert run_groups._ONE_PASS == ONE_PASS


def test_what_is_equal_in_all_groups_is_not_named():
    assert names(penalized(0.1, 0.8), penalized(0.1, 0.5)) == ["alpha=0.5", "alpha=0.8"]
    assert names(penalized(0.1, 1.0), penalized(0.5, 1.0)) == ["r=0.1", "r=0.5"]
    exact = {"gnp__mode": "exact"}
    assert names(penalized(0.1, 0.8, **exact), penalized(0.5, 0.8, **exact)) == ["r=0.1", "r=0.5"]
    assert names(make_run(base_lr=0.1), make_run(base_lr=0.05)) == ["base_lr=0.05", "base_lr=0.1"]


def test_fields_that_are_off_are_omitted():
    runs = [
        make_run(gr_warmup_strategy="none", gnp__warmup_epochs=None),
        penalized(0.1, 0.8, gr_warmup_strategy="none", gnp__warmup_epochs=None),
        penalized(0.1, 0.8, gr_warmup_strategy="zero", gnp__warmup_epochs=15.0),
    ]
    assert names(*runs) == [
        "standard",
        "r=0.1 alpha=0.8",
        "r=0.1 alpha=0.8 warmup_epochs=15 gr_warmup_strategy=zero",
    ]
    # Without them nothing would be left of the first name.
    assert names(make_run(smoothing=0.0), make_run(smoothing=0.1)) == [
        "smoothing=0",
        "smoothing=0.1",
    ]


def test_fields_of_the_penalty_have_no_effect_without_it():
    runs = [make_run(gr_warmup_strategy="zero"), make_run(gnp__alpha=0.8), make_run(gnp__r=0.1)]
    assert names(*runs) == ["Net on digits"]


def test_another_penalty_is_named_by_its_field():
    field = "regularization.{}.strength"
    off = {field.format(kind): 0.0 for kind in ("input_gradient", "parameter_gradient")}
    on = off | {field.format("input_gradient"): 0.01}
    assert names(make_run(**off), make_run(**on)) == ["standard", "input_gradient.strength=0.01"]
    assert names(make_run(base_lr=0.1, **off), make_run(base_lr=0.05, **on)) == [
        "standard base_lr=0.1",
        "base_lr=0.05 input_gradient.strength=0.01",
    ]


def test_models_and_data_are_named_by_their_value():
    assert names(make_run(), make_run(model__model_name="ViT")) == ["Net", "ViT"]


def test_fields_of_the_same_short_name_are_named_in_full():
    runs = [make_run(a__size=1, b__size=1), make_run(a__size=2, b__size=2)]
    assert names(*runs) == ["a.size=1 b.size=1", "a.size=2 b.size=2"]


def test_values_of_most_groups_are_not_named():
    decay = "l2_regularization"
    fields = ({}, {decay: 1e-2}, {"label_smoothing": 0.1})
    runs = [make_run(**{decay: 1e-3} | more) for more in fields]
    runs += [penalized(1.0, 0.8, **{decay: 1e-3, "gnp__ascent": a}) for a in ("gradient", "random")]
    runs += [penalized(0.5, 0.8, **{decay: 1e-3, "gnp__ascent": "gradient"})]
    assert names(*runs) == [
        "standard",
        "standard label_smoothing=0.1",
        "standard l2_regularization=0.01",
        "r=0.5 alpha=0.8",
        "r=1 alpha=0.8",
        "r=1 alpha=0.8 ascent=random",
    ]


def test_long_names_lose_fields_that_are_not_needed_and_a_table_has_them():
    fields = {f"block__field_{letter}": 1 for letter in "abcdef"}
    groups = group_runs([make_run(), penalized(0.1, 0.8, **fields)])
    assert list(groups) == ["standard", "r=0.1 alpha=0.8 field_a=1 field_b=1 field_c=1 field_d=1"]
    table = [line.strip("|").split("|") for line in format_differences(groups).splitlines()]
    rows = [[cell.strip() for cell in row] for row in table]
    assert rows[0] == ["field", *groups]
    assert ["gnp.r", "0.0", "0.1"] in rows
    assert ["block.field_f", "None", "1"] in rows


def test_names_that_stay_long_become_numbers():
    runs = [make_run(field="a" * 100), make_run(field="b" * 100)]
    groups = group_runs(runs)
    assert list(groups) == ["config 1", "config 2"]
    assert "a" * 100 in format_differences(groups)


def test_short_names_show_what_differs():
    assert format_differences(group_runs([make_run(), penalized(0.1, 0.8)])) == ""
    assert format_differences(group_runs([make_run()])) == ""


def test_paths_are_named_only_where_nothing_else_distinguishes_groups():
    digits, flowers, trees = (
        make_run(dataset__dataset_name=name, dataset__data_dir=folder)
        for name, folder in [("digits", ""), ("photos", "/flowers"), ("photos", "/trees")]
    )
    assert names(digits, flowers) == ["digits", "photos"]
    assert format_differences(group_runs([digits, flowers])) == ""
    assert names(flowers, trees) == ["data_dir=/flowers", "data_dir=/trees"]
    assert len(names(digits, flowers, trees)) == 3


def test_when_to_save_makes_no_difference():
    runs = [make_run(save_ckpt_every_n_epochs=1), make_run(save_ckpt_every_n_epochs=5)]
    assert names(*runs) == ["Net on digits"]
