"""The style sheet of the page of `html_report`, with a light and a dark scheme."""

from gnp.report.style import LINES, NUM_LOOKS, SERIES, SERIES_ON_DARK


def _variables(colours):
    return "".join(f"--c{number}:{colour};" for number, colour in enumerate(colours))


def _look(number):
    dashes = list(LINES.values())[number // len(SERIES)]
    return f".series{number}{{--series:var(--c{number % len(SERIES)});--dashes:{dashes}}}"


_CLASSES = "".join(map(_look, range(NUM_LOOKS)))

STYLE = f"""
:root{{color-scheme:light dark;--ground:#fff;--ink:#1b1b1b;--faint:#666;--rule:#ddd;
--shade:#f5f6f8;{_variables(SERIES)}}}
@media (prefers-color-scheme:dark){{:root{{--ground:#16181c;--ink:#e8e8e8;--faint:#a0a0a0;
--rule:#3a3d44;--shade:#1f2228;{_variables(SERIES_ON_DARK)}}}}}
body{{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;
max-width:1400px;margin:0 auto;padding:1.5rem}}
h1{{font-size:1.5rem;margin:0 0 .5rem}} h2{{font-size:1.15rem;margin:2rem 0 .6rem}}
h3{{font-size:1rem;margin:1rem 0 .3rem}} p{{color:var(--faint);margin:.5rem 0}}
.legend{{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;padding:0;margin:.6rem 0}}
.swatch{{width:1.8em;height:.35em;margin-right:.5em;vertical-align:middle}}
.swatch .line{{stroke-width:5}}
.scroll{{overflow:auto;max-height:30rem}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
th,td{{text-align:left;white-space:nowrap;padding:.3rem .9rem .3rem 0;
border-bottom:1px solid var(--rule)}}
th{{font-weight:600;color:var(--faint);position:sticky;top:0;background:var(--ground)}}
td:first-child{{position:sticky;left:0;background:var(--ground)}}
th:first-child{{left:0;z-index:1}}
pre{{background:var(--shade);padding:.8rem;overflow:auto;max-height:30rem;font-size:13px}}
.charts{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));gap:1.2rem}}
.pictures{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));
gap:1.2rem}}
h1,li,p,footer,figcaption{{overflow-wrap:anywhere}} footer{{color:var(--faint);margin:2rem 0 0}}
figure{{margin:0}} figcaption{{font-weight:600;margin-bottom:.2rem}}
img{{max-width:100%;background:#fff;border-radius:4px}} .chart{{width:100%;height:auto}}
.tick{{font-size:11px;fill:var(--faint)}} .label{{font-size:12px;fill:var(--ink)}}
.grid{{stroke:var(--rule);stroke-width:1}}
.line{{fill:none;stroke:var(--series);stroke-width:1.8;stroke-linejoin:round;
stroke-dasharray:var(--dashes)}}
.band{{fill:var(--series);opacity:.18}} .reading{{fill:transparent}}
.reading:hover{{fill:var(--faint);fill-opacity:.15}}
@media (max-width:600px){{body{{padding:1rem}}
th:first-child,td:first-child{{white-space:normal;overflow-wrap:anywhere;min-width:10rem}}}}
{_CLASSES}
"""
