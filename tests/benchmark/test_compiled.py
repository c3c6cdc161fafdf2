"""Steps are compiled for given devices; here, for those of this machine."""

import subprocess
from importlib.util import find_spec

import jax
import pytest

from benchmark import compiled


def test_both_step_types_are_described():
    target = compiled.Target(topology={}, options={})
    figures = compiled.examine("WideResNet_10_1", jax.devices(), target, 4, "float32")
    for kind in ("standard", "penalized"):
        assert [c["kind"] for c in figures[kind]["collectives"]] == ["all-reduce"]
        assert figures[kind]["in_place"] > 0.98
    assert figures["penalized"]["held_mb"] > figures["standard"]["held_mb"]
    assert "estimated_ms" not in figures["standard"]


def test_estimates_are_sums_over_all_operations():
    program = '{"estimated_cycles":"900"} {"estimated_cycles":"2100"}'
    figures = compiled._estimates(program, cycles_per_second=1e6, least_seconds=6e-4)
    assert figures == {"estimated_ms": 3.0, "estimated_utilization": 0.2}


@pytest.mark.skipif(find_spec("libtpu") is not None, reason="nothing is missing")
def test_a_missing_compiler_is_reported_in_one_sentence(run_python):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_python("-m", "benchmark.compiled")
    assert failed.value.stderr.startswith("Cannot compile for v5e, see --help")
