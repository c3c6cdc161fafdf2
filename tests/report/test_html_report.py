"""The page about runs: its content, and that it refers to nothing else."""

import html.parser
import math
import re

import pytest

from gnp.report.html_charts import binned, charts, mean_curve
from gnp.report.html_report import html_report
from gnp.report.run_groups import Run, group_runs
from gnp.report.svg_chart import Curve, line_chart

VOID = {"meta", "img", "line", "br"}
PNG = b"\x89PNG picture"
DIFFERENCE = "-6.00 [-18.71, +6.71]"


class Checker(html.parser.HTMLParser):
    """Checks that tags are closed in their order, and collects references."""

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def make_run(error, seed, r=0.0, instruments=None, name="Net"):
    config = {
        "model.model_name": name,
        "dataset.dataset_name": "digits",
        "gnp.r": r,
        "gnp.alpha": 1.0,
        "seeds": seed,
    }
    line = {"eval/error_rate": error, "eval/loss": error}
    metrics = [
        {"step": step, "train/loss": 2 / step + 0.1 * seed, "train/gradient_norm_clean": 1.0 * step}
        for step in range(1, 400)
    ]
    summary = {"final": line, "best": line, "images_per_second": 10.0}
    return Run(config, summary, [*metrics, {"step": 399, **line}], instruments or {})


def sharpness(eigenvalue):
    return {
        "eigenvalues": [eigenvalue, 1.0],
        "trace": 20.0,
        "worst_case_rise": 0.25,
        "mean_rise": 0.001,
        "gradient_norm": 0.03,
        "loss": 0.01,
        "num_images": 100,
        "data": "train",
        "settings": {"r": 0.1, "m": 8, "sigma": 0.01},
    }


def instruments(eigenvalue):
    chain = {"gain": 2.5, "product": 40.0, "verdict": "healthy"}
    return {
        "sharpness": sharpness(eigenvalue),
        "diagnose": {"step": 399, "chain": chain},
        "sparsity": "| parameter | zero elements (%) |\n| a & b | 5.0 |",
        "pictures": {"Spectrum of the Hessian": PNG},
    }


@pytest.fixture(scope="module")
def page():
    runs = [make_run(0.10, 0, instruments=instruments(4.0)), make_run(0.14, 1)]
    runs += [make_run(0.05, 0, r=0.1), make_run(0.07, 1, r=0.1, instruments=instruments(2.0))]
    return html_report(group_runs(runs), {"Sharpness against test error": PNG})


def cells(page, heading):
    section = page.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]
    return [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in section.split("<tr>")[1:]]


def test_the_page_refers_to_nothing_and_is_well_formed(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert all(reference.startswith("data:image/png;base64,") for reference in checker.references)
    assert len(checker.references) == 3
    assert not re.search(r"https?://|@import|url\(|<script|<link", page)


def test_errors_have_a_standard_deviation_and_a_paired_difference(page):
    _, standard, penalized = cells(page, "Errors")
    assert standard[:5] == ["standard", "2", "12.00 ± 2.83", "12.00 ± 2.83", "reference"]
    # Differences −5, −7: 12.706 · 1.414 / √2 = 12.706.
    assert penalized[:5] == ["SAM r=0.1", "2", "6.00 ± 1.41", "6.00 ± 1.41", DIFFERENCE]
    assert (
        "<li>SAM r=0.1 against standard: no difference can be told "
        "(-6.0 ± 12.7 points over 2 seeds).</li>"
    ) in page
    assert "negative is better" in page


def test_what_differs_is_shown(page):
    assert cells(page, "What differs") == [
        ["field", "standard", "SAM r=0.1"],
        ["gnp.r", "0.0", "0.1"],
        ["gnp.alpha", "0.0", "1.0"],
    ]


def test_instruments_are_shown_where_they_were_used(page):
    _, plain, penalized = cells(page, "Sharpness of the minima")
    assert plain == ["standard", "1", "0.25", "0.001", "4", "20", "0.03", "0.01"]
    assert penalized[:3] == ["SAM r=0.1", "1", "0.25"]
    assert cells(page, "Flow of the gradient")[1] == ["standard", "399", "2.5", "40", "healthy"]
    assert "Spectrum of the Hessian: standard, seeds 0, 0" in page
    assert "a &amp; b" in page
    without = html_report(group_runs([make_run(0.1, 0)]))
    assert re.findall("<h2>(.*?)</h2>", without) == ["Errors", "Curves", "Runs"]


def test_runs_have_their_folder_date_versions_and_command():
    run = make_run(0.1, 3)
    facts = {"ended": "2026-01-02T03:04:05+00:00", "folder": "runs/a", "git_commit": "0123456789ab"}
    run.summary.update(facts | {"versions": {"gnp": "1.2", "jax": "3.4"}, "device": "1 x cpu"})
    page = html_report(group_runs([run]), command="gnp report --runs='a b'")
    assert cells(page, "Runs")[1] == [
        *("Net on digits", "0, 3, 0", "2026-01-02T03:04:05+00:00", "", "", "1 x cpu"),
        *("runs/a", "0123456789", "gnp 1.2, jax 3.4"),
    ]
    assert "<code>gnp train --config=FOLDER/config.json --working_dir=DIR</code>" in page
    assert re.search(
        r"<footer>Made \d{4}-\d\d-\d\d \d\d:\d\d UTC with gnp [\d.]+ by <code>gnp", page
    )
    assert "--runs=&#x27;a b&#x27;</code>" in page
    assert "<td></td>" in html_report(group_runs([make_run(0.1, 0)]))  # older runs lack these


def test_the_axis_of_errors_is_logarithmic_unless_one_is_zero():
    def ticks(*errors):
        runs = [make_run(error, seed, r=0.1 * seed) for seed, error in enumerate(errors)]
        chart = html_report(group_runs(runs)).split("Test error</figcaption>")[1].split("</svg>")[0]
        return re.findall('text-anchor="end"[^>]*>(.*?)<', chart)

    assert ticks(0.004, 0.6) == ["0.5", "1", "2", "5", "10", "20", "50"]
    assert ticks(0.0, 0.6) == ["0", "10", "20", "30", "40", "50", "60"]


def test_charts_say_that_images_were_held_out():
    run = make_run(0.1, 0)
    run.config["use_test_set"] = False
    page = html_report(group_runs([run]))
    assert "<figcaption>Validation error</figcaption>" in page
    assert "Test error" not in page


def test_a_chart_tells_its_values_under_the_pointer():
    curves = [Curve("a & b", 0, [10, 20, 30], [1.0, 2.0, 4.0], [0.0, 0.5, 0.0])]
    curves.append(Curve("c", 1, [20], [7.0], [0.0]))  # it ended early
    svg = line_chart(curves, x_label="step", y_label="", logarithmic=False)
    strips = re.findall(
        r'class="reading" x="(.+?)" .*?width="(.+?)" .*?<title>(.*?)</title>', svg, re.S
    )
    assert [text for _, _, text in strips] == [
        "step 10\na &amp; b: 1",
        "step 20\na &amp; b: 2 ± 0.5\nc: 7",
        "step 30\na &amp; b: 4",
    ]
    ends = [(float(left), float(left) + float(width)) for left, width, _ in strips]
    assert ends == [(58, 156), (156, 352), (352, 450)]
    long = Curve("a", 0, range(1, 1001), [1.0] * 1000, [0.0] * 1000)
    svg = line_chart([long], x_label="step", y_label="", logarithmic=False)
    assert svg.count('class="reading"') == 72
    assert "step 1,000\n" in svg


def test_names_cannot_break_the_page():
    page = html_report(group_runs([make_run(0.1, 0, name="<script>&")]))
    assert "<script" not in page
    assert "&lt;script&gt;&amp;" in page


def test_groups_of_one_colour_have_different_lines():
    groups = {str(n): [make_run(0.1, 0)] for n in range(9)}
    page = html_report(groups, {})
    assert re.search(r'<polyline class="line series7"', page)
    assert re.search(r'class="swatch".{,60}class="line series7".{,40}>7<', page)
    (first, eighth) = (re.search(rf"\.series{n}{{(.*?)}}", page)[1] for n in (0, 7))
    assert first.partition(";")[0] == eighth.partition(";")[0] == "--series:var(--c0)"
    assert first != eighth


def test_curves_are_binned_and_averaged_over_runs():
    lines = [{"step": step, "a": float(step)} for step in range(1, 9)] + [{"step": 3, "b": 1.0}]
    assert binned(lines, "a", 4) == {4: 2.5, 8: 6.5}
    assert binned([{"step": 1, "a": math.nan}], "a", 4) == {}
    curve = mean_curve("x", 0, [{1: 1.0, 2: 5.0}, {1: 3.0}], factor=100)
    assert curve == Curve("x", 0, [1, 2], [200, 500], [pytest.approx(141.4, abs=0.1), 0])


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_chart_has_every_point_within_its_frame(logarithmic):
    x = list(range(1, 50))
    curve = Curve("a", 0, x, [1e-3 * 1.2**n for n in x], [0.9e-3 * 1.2**n for n in x])
    broken = Curve("b", 1, [1, 2, 3], [math.nan, 0.0, 2.0], [0.0, 0.0, math.inf])
    svg = line_chart([curve, broken], x_label="step", y_label="y", logarithmic=logarithmic)
    points = re.findall(r'points="([^"]+)"', svg)
    places = [tuple(map(float, p.split(","))) for point in points for p in point.split()]
    circles = re.findall(r'cx="([^"]+)" cy="([^"]+)"', svg)
    places += [tuple(map(float, circle)) for circle in circles]
    assert all(58 <= px <= 450 and 10 <= py <= 216 for px, py in places)
    assert len(places) > 3 * len(x)
    assert svg.count('class="tick"') >= 8


def test_a_chart_of_one_constant_point_is_drawn():
    svg = line_chart([Curve("a", 0, [5], [0.0], [0.0])], x_label="", y_label="", logarithmic=False)
    assert "nan" not in svg
    assert 'class="line series0"' in svg


def test_a_single_point_of_a_chart_is_visible():
    chart = line_chart(
        [Curve("one", 3, [30], [0.5], [0.0])], x_label="step", y_label="loss", logarithmic=False
    )
    assert '<circle class="line series3" ' in chart
    assert "polyline" not in chart


@pytest.mark.parametrize(
    ("losses", "of_test", "of_training"),
    [
        ([{}], "cross entropy", "cross entropy"),
        ([{"loss": "binary_cross_entropy"}], "binary cross entropy", "binary cross entropy"),
        ([{"loss": "focal", "distill.run": "a"}], "focal loss", "focal loss, distillation"),
        ([{"loss": "brier"}, {}], "loss", "loss"),
    ],
)
def test_the_axis_of_a_loss_names_it(losses, of_test, of_training):
    runs = [make_run(0.1, 0) for _ in losses]
    groups = {str(n): [run] for n, run in enumerate(runs)}
    for run, changes in zip(runs, losses, strict=True):
        run.config.update(changes)
    for heading, label in (("Test loss", of_test), ("Training loss", of_training)):
        chart = charts(groups).partition(f">{heading}<")[2].partition("</figure>")[0]
        assert f">{label}<" in chart
