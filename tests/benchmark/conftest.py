"""Processes that benchmarks start."""

import subprocess
import sys

import pytest

BLOCKED = "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'ml_collections', 'torch')))"


@pytest.fixture
def little_installed(tmp_path, monkeypatch):
    """Processes started in the test find no tensorflow, ml_collections and torch, and are quick."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


@pytest.fixture
def run_python():
    """Runs Python with these arguments; what it wrote, if it succeeded."""

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    return run
