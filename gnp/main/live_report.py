"""The report as a page that updates itself, served to this machine alone."""

import html
import http.server
from collections.abc import Iterable

from gnp.errors import UserError
from gnp.report.groups import group_runs
from gnp.report.html_report import html_report
from gnp.runs.find import find_runs, is_finished, read_run
from gnp.runs.folder import METRICS_FILE
from gnp.runs.metrics import read_metrics

_HOST = "127.0.0.1"
_SECONDS_BETWEEN_REFRESHES = 10


def serve(patterns: Iterable[str], port: int) -> None:
    """Serves the page until it is interrupted.

    Args:
      patterns: of the runs' folders, as for the report; a new run appears when it starts.
      port: of this machine; 0: a free one.

    Raises:
      UserError: the port is taken.
    """
    patterns = list(patterns)
    try:
        server = http.server.ThreadingHTTPServer((_HOST, port), _handler(patterns))
    except OSError as error:
        raise UserError(
            f"Port {port} cannot be served ({error}); choose another with --port, or --port=0."
        ) from error
    with server:
        print(f"http://{_HOST}:{server.server_port}/ shows the runs; Ctrl-C ends it.", flush=True)
        server.serve_forever()


def live_page(patterns: Iterable[str]) -> str:
    """The page: a line for each run that trains, and the report of all evaluated runs.

    A line also names each run that cannot be read.
    """
    folders = find_runs(patterns)
    runs, in_training, faults = [], [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
            if not is_finished(folder):
                in_training.append(_line(folder))
        except UserError as error:
            faults.append(str(error))
    evaluated = [run for run in runs if run is not None]
    report = html_report(group_runs(evaluated)) if evaluated else _nothing_yet(patterns)
    refresh = f'<meta http-equiv="refresh" content="{_SECONDS_BETWEEN_REFRESHES}">'
    lists = _list("In training", in_training) + _list("Not readable", faults)
    return report.replace("<head>", f"<head>{refresh}", 1).replace("</h1>", f"</h1>{lists}", 1)


def _list(heading, lines):
    entries = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<section><h2>{heading}</h2><ul>{entries}</ul></section>" if lines else ""


def _line(folder):
    file = folder / METRICS_FILE
    metrics = read_metrics(file) if file.exists() else []
    step = metrics[-1]["step"] if metrics else 0
    return f"step {step:,}: {folder}"


def _nothing_yet(patterns):
    named = html.escape(", ".join(patterns))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>gnp</title></head>'
        f"<body><h1>No run below {named} has been evaluated yet</h1></body></html>\n"
    )


def _handler(patterns):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self._answer(with_page=False)

        def do_GET(self):
            self._answer(with_page=True)

        def _answer(self, with_page):
            if self.path != "/":
                self.send_error(404)
                return
            page = live_page(patterns).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            if with_page:
                self.wfile.write(page)

        def log_message(self, *_):
            """Requests are not logged."""

    return Handler
