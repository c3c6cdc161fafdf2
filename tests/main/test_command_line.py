"""Odd command lines end in one sentence: exit code 0, 2, 3, 4 or 128 + n, and no traceback."""

import contextlib
import io
import logging
import pathlib
import subprocess
import sys
import traceback

import jax
import pytest
from absl import flags
from absl.testing import flagsaver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import base
from gnp.main import app, convert, diagnose, evaluate, landscape, main, models, sharpness
from gnp.model import registry
from gnp.runs.folder import flatten
from gnp.training import parallel
from gnp.training.step_programs import StepPrograms
from gnp.training.step_schedule import StepBlock

ROOT = pathlib.Path(__file__).parents[2]
GOOD_CODES = {0, 2, 3, 4, *range(129, 256)}
BASE = ("--config=config/digits.py", "--config.dataset.num_train_images=64")


@pytest.fixture(autouse=True)
def _no_training(monkeypatch):
    """A command line is read and checked to the end, but nothing is trained."""

    def finds_no_cluster():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", finds_no_cluster)
    monkeypatch.setattr(app, "_keep_compiled_programs", lambda: None)
    monkeypatch.setattr(app.xla, "use_all_cores", lambda: None)
    monkeypatch.setattr(main, "_train", lambda settings, **job: None)
    monkeypatch.setattr(main, "_print_summary", lambda summary, folder: None)
    registry.model_names()  # registers those of the project
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    imported = set(sys.modules)
    loggers = [logging.getLogger(name) for name in ("gnp", "absl")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    # The registry forgets their models, so another test must be able to import them again.
    for name in set(sys.modules) - imported:
        if name.startswith("gnp_module_"):
            del sys.modules[name]


def trace(settings, *, model, source, **job):
    """Traces a step of each type in the place of training."""
    length = settings.length(source.num_train_images)
    state = jax.eval_shape(lambda: settings.initial_state(model, source.image_shape))
    schedule = settings.step_schedule(length.steps_per_epoch)
    programs = StepPrograms(settings, model, length.steps_per_epoch, source.prepare)
    batch = parallel.split(next(iter(source.train_batches(0))))
    for is_penalized in {b.is_penalized for b in schedule.blocks(jax.random.PRNGKey(0), 0, 0)}:
        program = programs.program(StepBlock(0, 1, is_penalized))
        jax.eval_shape(program, state, source.device_data, batch)


def call(command, arguments):
    """Exit code and standard error of a command, in this process."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with (
        flagsaver.flagsaver(),
        contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())),
        contextlib.redirect_stderr(io.StringIO()) as error_output,
    ):
        try:
            app.define(command.define_flags)
            app._parse_flags(["command", *arguments])
            app._call(command.main)
            code = 0
        except SystemExit as error:
            code = error.code
        except BaseException:
            code = traceback.format_exc()
    return code, error_output.getvalue()


def check(command, *arguments):
    code, said = call(command, arguments)
    assert code in GOOD_CODES, f"{arguments}\n{code}\n{said}"
    assert "Traceback" not in said
    assert code == 0 or len(said) < 6000
    return code, said


def check_training(folder, *arguments):
    return check(main, *BASE, f"--working_dir={folder}", *arguments)


MODELS = {
    "syntax": "def broken(:\n",
    "raises": "raise RuntimeError('no')\n",
    "exits": "import sys\nsys.exit(0)\n",
    "null": "x = '\0'\n",
    "taken": "from gnp.model import register_model\nregister_model('ViT_Micro')(None)\n",
    "imports": "import no_such_module_at_all\n",
}

OWN = """
from flax import linen as nn
from gnp.model import register_model


@register_model("Own")
class Own(nn.Module):
    num_outputs: int
    width: int = 4
    returns: str = "logits"

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(self.width)(x.reshape(len(x), -1))
        if self.returns == "nothing":
            return None
        if self.returns == "other rng":
            x = nn.Dropout(0.5, deterministic=not train, rng_collection="other")(x)
        return nn.Dense(self.num_outputs + (self.returns == "more"))(x)


@register_model("NoModule")
def no_module(num_outputs):
    return num_outputs


@register_model("Raises")
def raises(num_outputs):
    raise KeyError("out of order")
"""


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("seeds={[]:1}", "takes a whole number"),
        ("seeds=" + "-" * 3000 + "1", "takes a whole number"),
        ("seeds=" + "[" * 4000, "takes a whole number"),
        ("seeds=" + "9" * 5000, "has a text of more than 4096 characters"),
        ("model.model_params={1:2}", "has the name 1; names are texts without dots"),
        ("model.model_params={'a.b':2}", "names are texts without dots"),
        ("model.model_params={'__init__':2}", "cannot have this name"),
        ("model.model_params.depth={1,2}", "is or has {1, 2}; config.json holds"),
        ("model.model_params.depth=b'1'", "is or has b'1'"),
        ("model.model_params." + ".".join("a" * 3000) + "=1", "nests deeper than 20 levels"),
        ("model.model_params.depth=" + "[" * 30 + "]" * 30, "nests deeper than 20 levels"),
        ("opt.opt_params.momentum=1e400", "has the number inf; numbers must be finite"),
        ("opt.opt_params.momentum=" + "9" * 40, "more than 30 digits"),
        ("opt.opt_params.momentum=" + "9" * 20, "must be at most 2147483647 in size"),
        ("lr_stepped_schedule=[(1, 1e999)]", "numbers must be finite"),
        ("a" * 5000 + "=1", "there is no such field"),
        ("model.model_name=" + "a" * 5000, "has a text of more than 4096 characters"),
        ("dataset.image_size=99999", "it must be between 1 and 16384"),
        ("dataset.num_classes=99999999", "it must be between 1 and 1000000"),
        ("interrupt_exit_code=99999", "it must be between 0 and 255"),
        ("base_lr=1e400", "numbers must be finite"),
        ("base_lr=1e300", "it must be at most 3e+38 in size"),
        ("total_epochs=100000000000000000000", "it must be at most 2147483647 in size"),
        ("regularization.weight.l1.last_epoch=99999999999", "at most 2147483647 in size"),
        ("profile_steps=" + "1" * 4000 + ":2", "profile_steps is"),
        ("profile_steps=²:³", "profile_steps is"),
        ("tfds_dir=a\0b", "has a character of code 0"),
        ("model.model_module=..x", "model.model_module '..x' fails (TypeError"),
        ("model.model_module=" + "a" * 4000, "model.model_module 'aaa"),
    ],
    ids=lambda text: text[:40],
)
def test_a_value_that_makes_no_sense_is_one_sentence(tmp_path, field, sentence):
    code, said = check_training(tmp_path / "runs", f"--config.{field}")
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "runs").exists() or "steps" in said


@pytest.mark.parametrize("kind", MODELS)
def test_a_module_of_models_that_fails_is_one_sentence(tmp_path, kind):
    file = tmp_path / f"{kind}_models.py"
    file.write_text(MODELS[kind])
    code, said = check_training(tmp_path / "runs", f"--config.model.model_module={file}")
    assert code == 2
    assert f"{kind}_models.py' fails (" in said or "cannot be imported" in said


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (["model_params.width=-3"], "Model Own cannot be "),
        (["model_params.width=a"], "Model Own cannot be "),
        (["model_params.returns=nothing"], "Model Own cannot be trained and evaluated"),
        (["model_params.returns=other rng"], "cannot be trained and evaluated (own_models.py line"),
        (["model_params.returns=more"], "returns (2, 11) for 2 images; it must return one number"),
        (["model_name=NoModule"], "Model NoModule cannot be created"),
        (["model_name=Raises"], "Model Raises cannot be created (own_models.py line 29, KeyError"),
    ],
    ids=str,
)
def test_a_model_of_ones_own_that_fails_is_one_sentence(tmp_path, fields, sentence):
    file = tmp_path / "own_models.py"
    file.write_text(OWN)
    given = [f"--config.model.{field}" for field in (f"model_module={file}", *fields)]
    given.insert(1, "--config.model.model_name=Own")
    code, said = check_training(tmp_path / "runs", *given)
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("exits.py", "raise SystemExit(0)", "fails in line 1: SystemExit: 0."),
        ("deep.json", "[" * 100_000, "is damaged"),
        ("deep.json", '{"gnp":' * 90 + "1" + "}" * 90, "there is no such field"),
        ("list.json", "[1]", "is damaged"),
        ("null.py", "\0", "fails in line"),
        ("none.py", "def get_config(): pass", "fails in line ?: TypeError"),
        ("keys.py", "def get_config(): return {1: 2}", "sets 1, but there is no such field"),
        (
            "array.py",
            "import numpy as np\ndef get_config(): return {'retrain': np.ones(3)}",
            "is or has array([1., 1., 1.])",
        ),
        (
            "itself.py",
            "def get_config():\n    d = {}\n    d['a'] = d\n"
            "    return {'model': {'model_params': d}}",
            "nests deeper than 20 levels",
        ),
        ("huge.py", "def get_config(): return {'seeds': 10**5000}", "more than 30 digits"),
        ("huge.py", "def get_config(): return {'base_lr': [10**5000]}", "more than 30 digits"),
        ("notes.txt", "", "is neither a .py nor a .json file"),
    ],
    ids=str,
)
def test_a_config_file_that_makes_no_sense_is_one_sentence(tmp_path, name, content, sentence):
    file = tmp_path / name
    file.write_text(content)
    code, said = check(main, f"--config={file}", f"--working_dir={tmp_path / 'runs'}")
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config=" + "a" * 5000],
        ["--config=config"],
        ["--config=/dev/null"],
        ["--stderrthreshold=x"],
        ["--coordinator_address=nonsense", "--num_processes=2", "--process_id=0"],
        ["--flagfile=/nowhere"],
        ["--num_processes=x"],
        [*BASE, "--working_dir=/proc/x"],
        [*BASE, "--working_dir=/dev/null/x"],
        [*BASE, "--working_dir=" + "a" * 300],
    ],
    ids=lambda arguments: arguments[-1][:30],
)
def test_flags_that_make_no_sense_are_one_sentence(arguments):
    code, said = check(main, *arguments)
    assert code == 2
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--lr=0.1", "Unknown flag --lr; did you mean --config.base_lr or "),
        ("--wrking_dir=runs", "Unknown flag --wrking_dir; did you mean --working_dir?"),
        ("--xyzzy", "Unknown flag --xyzzy; --help lists the flags."),
    ],
)
def test_an_unknown_flag_names_what_may_be_meant(flag, sentence):
    code, said = check(main, *BASE, flag)
    assert code == 2
    assert said.startswith(sentence)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (convert, ["--input=README.md", "--output=/proc/x.npz"], "has none of the suffixes"),
        (models, ["--name=ViT_Micro", "--image_size=99999999999"], "--image_size=99999999999"),
        (models, ["--name=ViT_Micro", "--config.model.model_params={1:2}"], "has the name 1"),
        (models, ["--name=ViT_Micro", "--config.model.model_params.num_outputs=1"], "num_outputs"),
        (models, ["--name=ViT_Micro", "--depth=-1"], "--depth=-1"),
    ],
    ids=str,
)
def test_other_commands_are_as_careful(command, arguments, sentence):
    code, said = check(command, *arguments)
    assert code == 2
    assert sentence in said


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.28 TiB"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
        jax.errors.JaxRuntimeError("INTERNAL: Error dispatching: Out of memory allocating 9 bytes"),
    ],
    ids=str,
)
def test_without_memory_there_is_one_sentence(tmp_path, monkeypatch, error):
    def fails(settings, **job):
        raise error

    monkeypatch.setattr(main, "_train", fails)
    code, said = check_training(tmp_path / "runs")
    assert code == 3
    assert said.startswith("There is not enough memory (")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "flag", "sentence"),
    [
        (evaluate, "--attack_radius=nan", "--attack_radius is nan; it must be at most 3e+38"),
        (evaluate, "--attack_radius=1e400", "--attack_radius is inf; it must be at most 3e+38"),
        (sharpness, "--r=nan", "--r is nan; it must be at most 3e+38 in size."),
        (sharpness, "--sigma=inf", "--sigma is inf; it must be at most 3e+38 in size."),
        (sharpness, "--seed=" + "9" * 20, "it must be at most 2147483647 in size."),
        (landscape, "--extent=nan", "--extent is nan; it must be at most 3e+38 in size."),
        (landscape, "--seed=" + "9" * 20, "it must be at most 2147483647 in size."),
        (landscape, "--points=1001", "--points is 1001; it must be in 2 to 1000."),
        (diagnose, "--seed=" + "9" * 20, "it must be at most 2147483647 in size."),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_number_of_a_command_that_makes_no_sense_is_one_sentence(
    tmp_path, command, flag, sentence
):
    (tmp_path / "config.json").touch()
    code, said = check(command, f"--run={tmp_path}", flag)
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--coordinator_address=nonsense", "--num_processes=2", "--process_id=0"],
        [*BASE, "--working_dir=unused", "--config.seeds={[]:1}"],
        ["--stderrthreshold=x"],
    ],
    ids=lambda arguments: arguments[-1],
)
def test_a_process_of_its_own_says_the_same(arguments):
    result = call_process(*arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def call_process(*arguments):
    command = [sys.executable, "-m", "gnp.main.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_is_no_failure():
    result = call_process("--help")
    assert result.returncode == 0
    assert "--working_dir" in result.stdout


DEFAULTS = flatten(base.get_config().to_dict())
OPEN = ["opt.opt_params", "model.model_params", "gnp", "regularization.weight", "x", "", "gnp.r.x"]
OPEN += [f"opt.opt_params.{name}" for name in ("momentum", "nesterov", "eps", "x", "")]
OPEN += [f"model.model_params.{name}" for name in ("depth", "width", "dropout_rate", "dtype", "x")]
ODD = ["", "0", "-1", "1", "2", "0.5", "-0.5", "1e400", "-1e400", "nan", "1e30", "99999999999"]
ODD += ["True", "false", "None", "[]", "()", "{}", "[1]", "[[1,2]]", "(1,2,3)", "{'a':1}", "{1}"]
ODD += ["b'x'", "'x'", '"', "'", "\\", "²", "ü", "\udcff", "\n", " 1", "0x10", "1_000", "1j", "..."]
ODD += ["[{}]", "[None]", "a/b", "1 if 1 else 2"]
ODD += ["[" * 300, "(" * 90 + ")" * 90, "-" * 3000, "9" * 5000, "a" * 5000]
FLAGS = ["config", "config_field", "working_dir", "cutout_length", "randaug_magnitude", "verbosity"]
FLAGS += ["imagenet_mixup_alpha", "num_processes", "process_id", "coordinator_address", "x", "v"]
FLAGS += ["log_dir", "stderrthreshold", "logger_levels", "showprefixforinfo", "flagfile", "undefok"]

# Values of the type of a field, in its range or at the edge.
TYPED = {
    bool: ["True", "False"],
    int: ["0", "1", "2", "7", "32", "2147483647", "-1"],
    float: ["0", "1e-30", "0.1", "0.9", "1", "3", "1e30", "3e38", "-1"],
    tuple: [
        "[]",
        "[('*', 1e-4)]",
        "[('*', 1e-4, 'rows')]",
        "[('*', 3e38, 'blocks')]",
        "[(1, 0.5)]",
    ],
    str: [
        "",
        "none",
        "r",
        "zero",
        "linear",
        "cosine",
        "stepped",
        "exact",
        "random",
        "both",
        "skip",
    ],
}
TYPED[str] += [
    "skip",
    "rollback",
    "lambda",
    "1:2",
    "tests",
    "device",
    "fake",
    "cifar10",
    "image_folder",
    "imagenet",
    "mixup",
    "cutmix",
    "mixcut",
]
TYPED[str] += ["autoaugment", "trivialaugment", "randaugment", "squash", "asymmetric", "bfloat16"]
TYPED[str] += ["eval/loss", "eval_ema/loss", "Adam", "RMSProp", "ViT_Micro", "norm"]
TYPED[type(None)] = [*TYPED[int], "None"]


@st.composite
def typed_fields(draw):
    field = draw(st.sampled_from(sorted(DEFAULTS)))
    return f"--config.{field}={draw(st.sampled_from(TYPED[type(DEFAULTS[field])]))}"


odd_values = st.sampled_from(ODD) | st.text(max_size=20) | st.integers(-9, 99).map(str)
odd_arguments = st.one_of(
    st.builds("--config.{}={}".format, st.sampled_from(sorted(DEFAULTS)), odd_values),
    st.builds("--config.{}={}".format, st.sampled_from(OPEN), odd_values),
    st.builds("--{}={}".format, st.sampled_from(FLAGS), odd_values),
    st.builds("--config.{}".format, st.sampled_from(OPEN)),
    st.text(max_size=10),
)
model_params = st.builds("--config.{}={}".format, st.sampled_from(OPEN), odd_values)
command_lines = st.lists(typed_fields(), min_size=1, max_size=5) | st.lists(
    odd_arguments, min_size=1, max_size=2
)


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=list(HealthCheck))
@given(command_lines)
def test_any_command_line_ends_in_a_sentence(tmp_path_factory, arguments):
    check_training(tmp_path_factory.mktemp("fuzz"), *arguments)


SMALL = (f"--config.model.model_module={ROOT / 'tests/main/small_models.py'}",)
SMALL += ("--config.model.model_name=SmoothNet", "--config.dataset.num_train_images=192")
ALSO = [(), ("--config.gnp.r=0.1", "--config.gnp.alpha=0.8")]


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ALSO), st.lists(typed_fields(), min_size=1, max_size=4))
def test_any_config_that_is_accepted_is_traced(tmp_path_factory, also, arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "_train", trace)
        check_training(tmp_path_factory.mktemp("fuzz"), *SMALL, *also, *arguments)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([convert, models]), command_lines | st.lists(model_params, max_size=3))
def test_any_command_line_of_other_commands_does(command, arguments):
    named = {models: ["--name=WideResNet_10_1"], convert: ["--input=x.npz", "--output=y.npz"]}
    check(command, *named[command], *arguments)
