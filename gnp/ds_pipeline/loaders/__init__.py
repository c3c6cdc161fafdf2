"""Data loaders: batches and augmentation by numpy, tf.data or the accelerator."""
