"""Our test errors beside published ones."""

import statistics
from collections.abc import Mapping, Sequence

from gnp.report.seeds import Sample
from gnp.report.table import aligned

# Test error in percent on CIFAR-10, mean of three seeds (arXiv 2406.09723), by model and training.
PUBLISHED = {
    ("ViT_TI16", "standard"): 14.82,
    ("ViT_TI16", "penalty"): 13.92,
    ("ViT_TI16", "penalty, zero warmup"): 13.61,
    ("ViT_S16", "standard"): 12.07,
    ("ViT_S16", "penalty"): 12.40,
    ("ViT_S16", "penalty, zero warmup"): 10.68,
    ("ViT_B16", "standard"): 10.83,
    ("ViT_B16", "penalty"): 12.36,
    ("ViT_B16", "penalty, zero warmup"): 9.42,
}
# Each of them is a mean over this many seeds.
NUM_SEEDS = 3

_HEAD = ("model", "training", "published (%)", "ours (%)", "seeds", "verdict")


def verdict(errors: Sequence[float], published: float) -> str:
    """Whether errors, one for each seed, agree with a published mean or are better.

    They agree if their mean is within two of its standard errors. With fewer seeds than the
    published mean has, the verdict is only their number.
    """
    if not errors:
        return "not yet run"
    if len(errors) < NUM_SEEDS:
        return f"{len(errors)} of {NUM_SEEDS} seeds"
    margin = 2 * statistics.stdev(errors) / len(errors) ** 0.5
    return "reproduced" if statistics.mean(errors) <= published + margin else "differs"


def format_table(errors: Mapping[tuple[str, str], Sequence[float]]) -> str:
    """The comparison as a table in Markdown: mean ± standard deviation over the seeds.

    Args:
      errors: test errors in percent of each model and training, one for each seed.
    """
    rows = []
    for (model, training), published in PUBLISHED.items():
        found = errors.get((model, training), ())
        ours = Sample(dict(enumerate(found))).text(".2f") if found else ""
        cells = (model, training, f"{published:.2f}", ours, str(len(found)))
        rows.append((*cells, verdict(found, published)))
    return aligned(_HEAD, rows)
