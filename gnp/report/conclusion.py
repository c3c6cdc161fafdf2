"""What a comparison of two groups of runs says, as one sentence."""

import math
from collections.abc import Sequence

from gnp.errors import printable
from gnp.report.comparison import GroupResult, part
from gnp.report.seeds import percent


def conclusion(results: Sequence[GroupResult]) -> str:
    """What was trained, how the test error changed, and what that cost in time.

    Empty unless there are two groups whose errors can be compared.
    """
    compared = [result for result in results if result.difference]
    if len(results) != 2 or len(compared) != 1:
        return ""
    (result,) = compared
    if result.difference.mean is None or not math.isfinite(result.difference.mean):
        return ""
    runs = [run for each in results for run in each.runs]
    seconds = {each.name: each.quantities.get("seconds") for each in results}
    cost = _cost(result, seconds[result.name], seconds[result.reference])
    change = _change(result, f"{part(results)} error")
    return printable(f"{_trained(runs)}: {change}{cost}.")


def _trained(runs):
    """Model, epochs, images and wrong labels, as far as all runs agree in them."""
    model = _common(run.config.get("model.model_name") for run in runs)
    epochs = _common(
        None if run.summary.get("stopped_early") else run.config.get("total_epochs") for run in runs
    )
    images = _common(run.instruments.get("data", {}).get("num_train_images") for run in runs)
    dataset = _common(run.config.get("dataset.dataset_name") for run in runs)
    what = [f"{images:,} images" if images else "", dataset or ""]
    return "".join(
        [
            f"{model or 'Models'} trained",
            f" for {epochs} epoch{'s' * (epochs != 1)}" if epochs else "",
            f" on {' of '.join(filter(None, what))}" if any(what) else "",
            _wrong_labels(runs),
        ]
    )


def _common(values):
    """The value if all are equal, else None."""
    found = list(values)
    return found[0] if all(value == found[0] for value in found) else None


def _wrong_labels(runs):
    """The share of training labels that are wrong, not that of the labels redrawn."""
    if not all("data" in run.instruments for run in runs):
        return ""
    noises = [run.instruments["data"].get("label_noise") for run in runs]
    shares = sorted({round(100 * n["changed"] / n["num_images"]) if n else 0 for n in noises})
    if shares == [0]:
        return ""
    span = str(shares[0]) if len(shares) == 1 else f"{shares[0]} to {shares[-1]}"
    return f", {span} % of them with a wrong label"


def _change(result, error):
    difference = result.difference
    before, after = percent(difference.reference_error), percent(difference.error)
    count = difference.num_seeds
    if count > 1 and not difference.is_clear:
        return (
            f"no difference in {error} can be told over {count} seeds ({before} with "
            f"{result.reference}, {after} with {result.name})"
        )
    if difference.mean == 0:
        return f"the {error} is {after} with {result.reference} and with {result.name}, one seed"
    falls = difference.mean < 0
    agreeing = difference.num_lower if falls else difference.num_higher
    seeds = "with one seed" if count == 1 else f"in {agreeing} of {count} seeds"
    return (
        f"the {error} {'falls' if falls else 'rises'} from {before} ({result.reference}) to "
        f"{after} ({result.name}), {difference.size}, {seeds}"
    )


def _cost(result, seconds, reference_seconds):
    if not result.relative_time:
        return ""
    return (
        f"; a training takes {_time(seconds.mean)} in place of {_time(reference_seconds.mean)}, "
        f"{result.relative_time:.1f} times as long"
    )


def _time(seconds):
    return f"{seconds:,.{0 if seconds >= 10 else 1}f} s"
