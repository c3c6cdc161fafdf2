"""Tensorflow without accelerators, which belong to JAX. Import tensorflow only from here."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same rounding on every processor

import tensorflow as tf

tf.config.set_visible_devices([], "GPU")
