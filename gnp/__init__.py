"""gnp: training image classifiers with a penalty on the gradient norm, in JAX and Flax."""

__version__ = "0.1.0"
