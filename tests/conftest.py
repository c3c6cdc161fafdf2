"""Four virtual CPU devices for every test, set before JAX starts."""

import atexit
import os
import pathlib
import shutil
import tempfile

os.environ["JAX_NUM_CPU_DEVICES"] = "4"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Programs that several tests, or the commands that they start, compile are compiled once.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="gnp_compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import hypothesis
import jax
import pytest

# The first example of a property compiles, and takes as long as that takes.
hypothesis.settings.register_profile("gnp", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gnp")


@pytest.fixture
def _compile_fast():
    """For programs that run a few times and are not worth optimizing."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Each compiled program takes memory maps, of which Linux gives a process 65,530."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _no_pictures(request, monkeypatch):
    """Runs of tests are small; drawing their curves would take longer than all the rest."""
    room = request.path.relative_to(pathlib.Path(__file__).parent).parts[0]
    if room in ("training", "runs", "diagnostics") and "pictures" not in request.keywords:
        monkeypatch.setattr("gnp.runs.summary.draw_curves", lambda *arguments: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Captured text travels between processes as UTF-8, which names of files need not be."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
