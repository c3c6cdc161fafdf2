"""Fixtures for processes that benchmarks start."""

import subprocess
import sys

import pytest

BLOCKED = "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'ml_collections', 'torch')))"


@pytest.fixture
def little_installed(tmp_path, monkeypatch):
    """Hides tensorflow, ml_collections and torch from subprocesses, and makes them fast."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


@pytest.fixture
def run_python():
    """Returns a function that runs Python and returns its output."""

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    return run
