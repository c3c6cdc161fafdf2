"""Who may import whom: downwards only, and nothing heavy that a run does not need."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
GNP_FILES = sorted((ROOT / "gnp").rglob("*.py"))

# Room -> the other rooms of gnp that it may import; gnp.main may import all of them.
ALLOWED = {
    "diagnostics": {"training", "regularization", "report"},
    "training": {"runs", "regularization", "optimizer"},
    "runs": {"report"},
    "report": set(),
    "regularization": set(),
    "optimizer": set(),
    "model": set(),
    "ds_pipeline": set(),
    "configs": set(),
}
# Room of the data pipeline -> the other rooms of it that it may import.
ALLOWED_IN_PIPELINE = {
    "datasets": {"images"},
    "loaders": {"augment", "images", "labels"},
    "augment": set(),
    "images": set(),
    "labels": set(),
}
ABOVE_THE_PIPELINE = {"build", "checks"}  # these know all of its rooms
# What lies above the rooms, for all of them.
TOP_FILES = {"batch_size", "errors", "files", "parameter_paths", "registering", "__version__"}
# Modules of other projects, and the one room that may import each.
KEPT_IN_ONE_ROOM = {
    "absl": "main",
    "tensorflow": "ds_pipeline",
    "tensorflow_datasets": "ds_pipeline",
}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    parts = path.relative_to(ROOT / "gnp").parts
    return parts[0] if len(parts) > 1 else ""


def file_names(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_every_room_is_known():
    rooms = {room_of(path) for path in GNP_FILES} - {""}
    assert rooms == {*ALLOWED, "main"}


@pytest.mark.parametrize("path", GNP_FILES, ids=file_names(GNP_FILES))
def test_imports_go_downwards(path):
    room = room_of(path)
    if room in ("", "main"):
        return
    allowed = ALLOWED[room] | {room} | TOP_FILES
    for module in imported_modules(path):
        names = module.split(".")
        if names[0] == "gnp" and len(names) > 1:
            assert names[1] in allowed, f"{room} imports {module}"
        assert names[0] != "config", f"{room} imports {module}"


@pytest.mark.parametrize("room", ALLOWED_IN_PIPELINE)
def test_imports_within_the_data_pipeline_go_downwards(room):
    pipeline = ROOT / "gnp" / "ds_pipeline"
    forbidden = ALLOWED_IN_PIPELINE.keys() - ALLOWED_IN_PIPELINE[room] - {room}
    for path in (pipeline / room).glob("*.py"):
        for module in imported_modules(path):
            names = module.split(".")
            if names[:2] == ["gnp", "ds_pipeline"]:
                assert names[2] not in forbidden | ABOVE_THE_PIPELINE, f"{path} imports {module}"


def test_every_room_of_the_data_pipeline_is_known():
    inits = (ROOT / "gnp" / "ds_pipeline").glob("*/__init__.py")
    assert {path.parent.name for path in inits} == ALLOWED_IN_PIPELINE.keys()


@pytest.mark.parametrize("path", GNP_FILES, ids=file_names(GNP_FILES))
def test_flags_and_tensorflow_stay_in_their_room(path):
    for module in imported_modules(path):
        only_room = KEPT_IN_ONE_ROOM.get(module.partition(".")[0])
        assert only_room in (None, room_of(path)), f"{room_of(path)} imports {module}"


GRADIENT = "import gnp; gnp.value_and_grad(lambda w: w @ w, r=0.5, alpha=0.8)(jax.numpy.ones(2))"


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import gnp.main.main", "tensorflow matplotlib sklearn tensorboardX wandb"),
        (f"import jax; {GRADIENT}", "flax optax orbax tensorflow ml_collections absl matplotlib"),
    ],
    ids=["command line", "gradient"],
)
def test_it_loads_nothing_that_it_does_not_need(code, heavy):
    code += f"\nimport sys; sys.exit(str(sorted({set(heavy.split())} & set(sys.modules))))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stderr.splitlines()[-1] == "[]"


def test_the_gradient_needs_jax_flax_and_optax_alone():
    for path in (ROOT / "gnp" / "regularization").glob("*.py"):
        for module in imported_modules(path):
            name = module.partition(".")[0]
            assert name in {"gnp", "jax", "flax", "optax", "numpy"} | sys.stdlib_module_names
