"""Evaluation: every image counted once."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gnp.training import loss as losses
from gnp.training import parallel
from gnp.training.average_precision import mean_average_precision
from gnp.training.state import TrainState

# What a step returns of each image of all devices.
_IMAGES = "images"


def make_eval_step(
    model: nn.Module,
    label_smoothing: float = 0.0,
    image_loss: losses.ImageLoss = losses.cross_entropy,
    multi_label: bool = False,
) -> Callable[[TrainState, dict], dict]:
    """A step that `parallel.map_eval_step` maps over devices.

    The loss is the training loss without its L2 term, so labels are smoothed alike.

    It returns sums over the images whose mask is one: `loss`, `error_rate`, `top_5_error_rate` and
    `num_images`. Where images have any number of the classes, it returns no top-5 error, and the
    logits and labels of all images in its place, which `evaluate` ranks.
    """

    def step(state, batch):
        logits = model.apply(state.variables, batch["image"], train=False)
        smoothed = losses.smooth_labels(batch["label"], label_smoothing)
        figures = {
            "loss": image_loss(logits, smoothed),
            "error_rate": prediction_errors(logits, batch["label"], multi_label=multi_label),
        }
        if multi_label:
            images = {"logits": logits, "label": batch["label"], "mask": batch["mask"]}
            return _sums(figures, batch["mask"]) | {_IMAGES: parallel.gathered(images)}
        figures["top_5_error_rate"] = prediction_errors(logits, batch["label"], k=5)
        return _sums(figures, batch["mask"])

    return step


def make_noise_step(model: nn.Module) -> Callable[[TrainState, dict], dict]:
    """A step over training images with true labels that `parallel.map_eval_step` maps.

    It returns sums over the images whose mask is one: `given_error_rate` (the model does not
    predict the given label), `true_error_rate` (it does not predict the true one) and `num_images`.
    """

    def step(state, batch):
        logits = model.apply(state.variables, batch["image"], train=False)
        figures = {
            "given_error_rate": prediction_errors(logits, batch["label"]),
            "true_error_rate": prediction_errors(logits, batch["true_label"]),
        }
        return _sums(figures, batch["mask"])

    return step


def prediction_errors(
    logits: jax.Array, labels: jax.Array, k: int = 1, multi_label: bool = False
) -> jax.Array:
    """As `losses.top_k_errors`; nan where no logit is the largest, being nan or infinite.

    With `multi_label` as `losses.decision_errors`.
    """
    if multi_label:
        errors = losses.decision_errors(logits, labels)
    else:
        errors = losses.top_k_errors(logits, labels, k)
    return jnp.where(jnp.isfinite(logits.max(axis=-1)), errors, jnp.nan)


def _sums(figures, mask):
    """Sums over the images of all devices."""
    figures = figures | {"num_images": jnp.ones_like(mask)}
    # Padding may hold anything, so it is replaced by zero, not multiplied by it.
    masked = {name: jnp.sum(jnp.where(mask > 0, values, 0)) for name, values in figures.items()}
    return parallel.total(masked)


def evaluate(
    eval_step: Callable, state: TrainState, batches: Iterable[dict], device_data: Any = None
) -> dict[str, float]:
    """Means over a whole evaluation set.

    Args:
      eval_step: a mapped step of `make_eval_step` or `make_noise_step`.
      state: what to evaluate.
      batches: this process's batches, with masks.
      device_data: what the source keeps on the devices.

    Returns:
      The means of what the step sums up, and `num_images`. If the step returns the logits of the
      images also `mean_average_precision` and `map_error`, which is 1 minus that.
    """
    # Sums stay on the device until the end; the host adds them in double precision.
    sums = jax.device_get(
        [eval_step(state, device_data, batch) for batch in parallel.split_ahead(batches)]
    )
    ranking = _ranking([s.pop(_IMAGES) for s in sums if _IMAGES in s])
    totals = {key: sum(float(s[key]) for s in sums) for key in sums[0]}
    num_images = totals.pop("num_images")
    return (
        {key: value / num_images for key, value in totals.items()}
        | ranking
        | {"num_images": int(num_images)}
    )


def _ranking(batches):
    """Figures of the logits and labels of whole batches; none without batches."""
    if not batches:
        return {}
    joined = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    is_image = joined["mask"] > 0
    precision = mean_average_precision(joined["logits"][is_image], joined["label"][is_image])
    return {"mean_average_precision": precision, "map_error": 1 - precision}


class Evaluator:
    """Evaluates the states of a run on its evaluation set."""

    def __init__(self, model: nn.Module, source: Any, settings: Any, more: Callable = lambda _: {}):
        """Args:
        model: the classifier.
        source: a `gnp.ds_pipeline.source.DataSource`.
        settings: `gnp.training.settings.run.EvaluationSettings`.
        more: further figures of the parameters.
        """
        self._step = parallel.map_eval_step(
            make_eval_step(
                model, settings.label_smoothing, settings.image_loss, settings.multi_label
            ),
            source.prepare_eval,
        )
        self._noise_step = parallel.map_eval_step(make_noise_step(model), source.prepare_eval)
        self._source = source
        self._with_top_5 = settings.with_top_5
        self._more = more

    def __call__(self, state: TrainState, device_data: Any) -> dict[str, float]:
        """Metrics `eval/...` of the state, and `eval_ema/...` of its moving averages.

        Where training labels are wrong also `noise/memorized` and `noise/true_error_rate`, over the
        images with wrong labels.

        Args:
          state: on all devices.
          device_data: what the source keeps on the devices.
        """
        metrics = self._evaluate("eval", state, device_data) | self._more(state.params)
        if state.ema is not None:
            averages = state.with_variables(state.ema)
            metrics |= self._evaluate("eval_ema", averages, device_data)
        if self._source.num_wrong_labels:
            metrics |= self._memorization(state, device_data)
        return metrics

    def on_training_set(self, state: TrainState, device_data: Any) -> dict[str, float]:
        """Errors over the whole training set, where labels are wrong; else none.

        `noise/train_given_error_rate` is against the labels that are trained on,
        `noise/train_true_error_rate` against the true ones. This is another pass over the training
        set, for the end of a run.
        """
        source = self._source
        if not source.num_wrong_labels:
            return {}
        result = evaluate(self._noise_step, state, source.train_label_batches(), device_data)
        _check_count(result.pop("num_images"), source.num_train_images)
        return {f"noise/train_{name}": value for name, value in result.items()}

    def _memorization(self, state, device_data):
        """Networks learn right labels first and memorize wrong ones later (arXiv 1706.05394)."""
        batches = self._source.wrong_label_batches()
        result = evaluate(self._noise_step, state, batches, device_data)
        _check_count(result["num_images"], self._source.num_wrong_labels)
        return {
            "noise/memorized": 1 - result["given_error_rate"],
            "noise/true_error_rate": result["true_error_rate"],
        }

    def _evaluate(self, prefix, state, device_data):
        result = evaluate(self._step, state, self._source.eval_batches(), device_data)
        _check_count(result["num_images"], self._source.num_eval_images)
        if not self._with_top_5:
            result.pop("top_5_error_rate", None)
        return {f"{prefix}/{name}": value for name, value in result.items()}


def _check_count(counted, expected):
    if counted != expected:
        raise RuntimeError(
            f"The evaluation counted {counted} images, but the data set has {expected}."
        )


def make_predict_step(
    model: nn.Module, attack: Callable | None = None, multi_label: bool = False
) -> Callable[[TrainState, dict], dict]:
    """A step that `parallel.map_eval_step` maps over devices with `per_image`.

    Args:
      model: the classifier.
      attack: `(loss of the images, images) -> images`, what is done to the images before, such as
        `gnp.diagnostics.attack.fast_gradient`; None: nothing.
      multi_label: whether an image has any number of the classes.

    It returns `logits` (images x classes, float32), `label` (the number of the true class; with
    `multi_label` 0 or 1 for each class) and `mask`, for each image of the batch.
    """
    image_loss = losses.binary_cross_entropy if multi_label else losses.cross_entropy

    def step(state, batch):
        images = batch["image"]

        def logits_of(images):
            return model.apply(state.variables, images, train=False)

        def loss_of(images):
            return jnp.sum(image_loss(logits_of(images), batch["label"]))

        if attack is not None:
            images = attack(loss_of, images)
        logits = logits_of(images)
        return {
            "logits": logits.astype(jnp.float32),
            "label": batch["label"] if multi_label else jnp.argmax(batch["label"], axis=-1),
            "mask": batch["mask"],
        }

    return step


def predict(
    predict_step: Callable, state: TrainState, batches: Iterable[dict], device_data: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and true classes of a whole evaluation set, in this process.

    Args:
      predict_step: a mapped step of `make_predict_step`.
      state: what to evaluate.
      batches: with masks.
      device_data: what the source keeps on the devices.

    Returns:
      Logits, images x classes, and the labels: what the step returns of all images.
    """
    logits, labels = [], []
    for batch in parallel.split_ahead(batches):
        result = jax.device_get(predict_step(state, device_data, batch))
        flat = {name: np.concatenate(list(values)) for name, values in result.items()}
        is_image = flat["mask"] > 0
        logits.append(flat["logits"][is_image])
        labels.append(flat["label"][is_image])
    return np.concatenate(logits), np.concatenate(labels)
