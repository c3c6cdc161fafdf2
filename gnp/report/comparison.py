"""Groups of runs compared: a table, a verdict on each group, and the same as data."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from gnp.report.loss_names import evaluated_part
from gnp.report.run_groups import SEED_FIELDS, Groups, Run, differences, references
from gnp.report.seeds import CONFIDENCE, Difference, Sample, paired_difference, sample
from gnp.report.table import aligned

MEMORIZED = "noise/memorized"
TRUE_ERROR = "noise/true_error_rate"


class _Quantity(NamedTuple):
    """A number of each run: its heading in a table, how it is read, and its format there.

    In a heading, {part} is the images that the runs are evaluated on.
    """

    heading: str
    of: Callable[[Run], float | None]
    format: str = ".2f"


def _final(key: str) -> Callable[[Run], float | None]:
    def percent(run):
        value = run.summary["final"].get(key)
        return None if value is None else 100 * value

    return percent


def _sharpness(read: Callable[[dict], float]) -> Callable[[Run], float | None]:
    def measured(run):
        return read(run.instruments["sharpness"]) if "sharpness" in run.instruments else None

    return measured


_QUANTITIES = {
    "test_error": _Quantity("{part} error (%)", _final("eval/error_rate")),
    "best_error": _Quantity("best (%)", lambda run: 100 * run.summary["best"]["eval/error_rate"]),
    "test_loss": _Quantity("{part} loss", lambda run: run.summary["final"].get("eval/loss"), ".3g"),
    "memorized": _Quantity("memorized (%)", _final(MEMORIZED)),
    "true_error": _Quantity("true error of wrong labels (%)", _final(TRUE_ERROR)),
    "worst_case_sharpness": _Quantity(
        "worst-case sharpness", _sharpness(lambda s: s["worst_case_rise"]), ".3g"
    ),
    "top_eigenvalue": _Quantity("top eigenvalue", _sharpness(lambda s: s["eigenvalues"][0]), ".3g"),
    "trace": _Quantity("trace", _sharpness(lambda s: s["trace"]), ".3g"),
    "seconds": _Quantity("time (s)", lambda run: run.summary.get("seconds"), ".0f"),
    "images_per_second": _Quantity(
        "images/s", lambda run: run.summary.get("images_per_second"), ",.0f"
    ),
}
# Columns of the table between the errors and the cost, where a group has them.
_OPTIONAL = ("test_loss", "memorized", "worst_case_sharpness", "top_eigenvalue", "trace")


class GroupResult(NamedTuple):
    """The results of a group.

    Attributes:
      name: of the group.
      runs: its runs.
      quantities: samples over the seeds, by name; a quantity that no run has is missing.
      reference: name of the group that it is compared with; None for a reference.
      difference: of the test errors to those of the reference; None for a reference.
      relative_time: mean time of a run, that of the reference being 1; None if unknown.
    """

    name: str
    runs: Sequence[Run]
    quantities: dict[str, Sample]
    reference: str | None
    difference: Difference | None
    relative_time: float | None


def compare(groups: Groups) -> list[GroupResult]:
    """The results of all groups, each compared with its reference (see `references`)."""
    quantities = {name: _measured(runs) for name, runs in groups.items()}
    results = []
    for name, reference in references(groups).items():
        found, other = quantities[name], quantities[reference or name]
        difference = reference and paired_difference(found["test_error"], other["test_error"])
        time = _relative_time(found, other)
        results.append(GroupResult(name, groups[name], found, reference, difference, time))
    return results


def _measured(runs):
    found = {key: sample(runs, quantity.of) for key, quantity in _QUANTITIES.items()}
    return {key: values for key, values in found.items() if values is not None}


def _relative_time(quantities, reference):
    if "seconds" not in quantities or "seconds" not in reference:
        return None
    seconds, reference_seconds = (of["seconds"].mean for of in (quantities, reference))
    return seconds / reference_seconds if reference_seconds else None


def part(results: Iterable[GroupResult]) -> str:
    """The images that the runs are evaluated on, as `evaluated_part` calls them."""
    return evaluated_part(run.config for result in results for run in result.runs)


def table(results: Sequence[GroupResult]) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a table with one row for each group."""
    optional = [key for key in _OPTIONAL if any(key in r.quantities for r in results)]
    has_times = any(result.relative_time is not None for result in results)
    headings = {key: q.heading.format(part=part(results)) for key, q in _QUANTITIES.items()}
    head = [
        *("run", "seeds", headings["test_error"], headings["best_error"]),
        *(["difference (points)"] if len(results) > 1 else []),
        *(headings[key] for key in optional),
        *(["relative time"] if has_times else []),
        headings["images_per_second"],
    ]
    rows = [
        [
            *(result.name, str(result.quantities["test_error"].num_seeds)),
            *(_cell(result, key) for key in ("test_error", "best_error")),
            *([_difference_cell(result.difference)] if len(results) > 1 else []),
            *(_cell(result, key) for key in optional),
            *(["" if (t := result.relative_time) is None else f"{t:.2f}"] if has_times else []),
            _cell(result, "images_per_second", spread=False),
        ]
        for result in results
    ]
    return head, rows


def _cell(result, key, *, spread=True):
    """Mean ± standard deviation, and the number of seeds if it is not that of the group."""
    values = result.quantities.get(key)
    if values is None:
        return ""
    digits = _QUANTITIES[key].format
    if not spread:
        return f"{values.mean:{digits}}"
    text = values.text(digits, digits.replace("3g", "2g"))
    if values.num_seeds != result.quantities["test_error"].num_seeds:
        text += f" ({_seeds(values.num_seeds)})"
    return text


def _difference_cell(difference):
    if difference is None:
        return "reference"
    if difference.mean is None:
        return ""
    if difference.interval is None:
        return f"{difference.mean:+.2f}"
    low, high = difference.interval
    return f"{difference.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def verdicts(results: Sequence[GroupResult]) -> list[str]:
    """A sentence on each group that has a reference."""
    return [
        f"{result.name} against {result.reference}: {result.difference.verdict}{_cost(result)}."
        for result in results
        if result.difference
    ]


def _cost(result):
    return f"; in {result.relative_time:.2f} times the time" if result.relative_time else ""


def notes(results: Sequence[GroupResult]) -> list[str]:
    """What the numbers in the table are, and where they do not compare."""
    counts = [result.quantities["test_error"].num_seeds for result in results]
    error = f"{part(results)} error"
    found = [
        f"{error.capitalize()}: of the last evaluation; best: the lowest of a run's evaluations, "
        "chosen on the same images."
    ]
    if max(counts) > 1:
        found.append("±: the standard deviation over the seeds.")
    if min(counts) == 1:
        found.append("A group with one seed has no standard deviation.")
    compared = [result for result in results if result.reference]
    if compared:
        names = {result.reference for result in compared}
        reference = names.pop() if len(names) == 1 else "its reference"
        found.append(
            f"Difference: {error} minus that of {reference}, paired by seed, in percentage "
            "points; negative is better."
        )
    intervals = [result for result in compared if result.difference.interval]
    if intervals:
        found.append(
            "In brackets, and after ± in the sentences above, the difference has its "
            f"{100 * CONFIDENCE:.0f} % interval (Student's t)"
            + (", not corrected for several comparisons." if len(intervals) > 1 else ".")
        )
    if any("memorized" in result.quantities for result in results):
        found.append(
            "Memorized: training images with a wrong label for which the model predicts that label."
        )
    if any(result.relative_time is not None for result in results):
        found.append("Time: of the whole run, as measured; other jobs on the machine change it.")
    return found + _warnings(results)


def _warnings(results):
    runs = [run for result in results for run in result.runs]
    found = []
    if len({sharpness_settings(run) for run in runs} - {None}) > 1:
        found.append(
            "The runs' sharpness was measured with different settings and does not compare."
        )
    if len({run.summary["device"] for run in runs if "device" in run.summary}) > 1:
        found.append("The runs used different devices, so their times do not compare.")
    unfinished = sum(not run.summary.get("finished", True) for run in runs)
    if unfinished:
        found.append(f"Runs that are not finished: {unfinished}; their numbers are preliminary.")
    return found


def sharpness_settings(run: Run) -> str | None:
    """How a run's sharpness was measured, in words; None if it was not."""
    found = run.instruments.get("sharpness")
    if found is None:
        return None
    settings = found["settings"]
    return (
        f"{found['num_images']} {found['data']} images, worst case with r = {settings['r']} over "
        f"groups of {settings['m']}, mean with sigma = {settings['sigma']}"
    )


def format_comparison(results: Sequence[GroupResult]) -> str:
    """The table in Markdown, the verdicts and the notes."""
    parts = [aligned(*table(results)), _bullets(verdicts(results)), "\n".join(notes(results))]
    return "\n\n".join(filter(None, parts))


def as_data(results: Sequence[GroupResult]) -> dict[str, Any]:
    """The same as data for JSON, with the values of every seed."""
    fields = differences({result.name: result.runs for result in results})
    return {
        "convention": (
            f"Differences are {part(results)} errors minus those of the reference, paired by seed, "
            "in percentage points: negative is better. Errors and shares are in percent."
        ),
        "differing_fields": [
            {"field": field, "values": [_plain(value) for value in values]}
            for field, *values in fields
        ],
        "groups": [_group_data(result) for result in results],
        "notes": notes(results),
    }


def _plain(value):
    """A value of a config as data: null where the field has no effect."""
    return value if isinstance(value, bool | int | float | str | list) else None


def _group_data(result):
    difference = result.difference
    return {
        "name": result.name,
        "num_seeds": result.quantities["test_error"].num_seeds,
        "num_runs": len(result.runs),
        "reference": result.reference,
        "difference": difference
        and {
            **difference._asdict(),
            "interval": difference.interval,
            "confidence": CONFIDENCE,
            "factor": difference.factor,
            "verdict": difference.verdict,
        },
        "relative_time": result.relative_time,
        "quantities": {
            name: {
                "mean": values.mean,
                "standard_deviation": values.standard_deviation,
                "values": [
                    dict(zip((*SEED_FIELDS, "value"), (*seeds, value), strict=True))
                    for seeds, value in values.by_seeds.items()
                ],
            }
            for name, values in result.quantities.items()
        },
    }


def _bullets(lines):
    return "\n".join(f"- {line}" for line in lines)


def _seeds(count):
    return "one seed" if count == 1 else f"{count} seeds"
