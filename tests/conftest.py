"""Four virtual CPU devices for every test, set before JAX starts."""

import os

os.environ["JAX_NUM_CPU_DEVICES"] = "4"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import hypothesis
import pytest

# The first example of a property compiles, and takes as long as that takes.
hypothesis.settings.register_profile("gnp", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gnp")


@pytest.fixture(autouse=True, scope="session")
def _compilation_cache(tmp_path_factory):
    """Programs that several tests compile are compiled once."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
