"""The report as a page that updates itself, served to this machine alone."""

import http.server
import re
import shlex
import sys
from collections.abc import Iterable

from gnp.errors import UserError, reason
from gnp.report.html_report import html_report
from gnp.report.run_groups import group_runs
from gnp.runs.find import find_runs, read_runs

_HOST = "127.0.0.1"
_SECONDS_BETWEEN_REFRESHES = 10
# A request that is not complete after this time without a byte is dropped.
_SECONDS_FOR_A_REQUEST = 10.0

# What a browser on this machine asks for. A page elsewhere could lead it here by another name.
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?", re.IGNORECASE)


def serve(patterns: Iterable[str], port: int) -> None:
    """Serves the page until it is interrupted.

    Args:
      patterns: of the runs' folders, as for the report; a new run appears when it starts.
      port: of this machine; 0: a free one.

    Raises:
      UserError: the port is taken.
    """
    try:
        server = make_server(patterns, port)
    except OSError as error:
        raise UserError(
            f"Port {port} cannot be served ({error}); choose another with --port, or --port=0."
        ) from error
    with server:
        print(f"http://{_HOST}:{server.server_port}/ shows the runs; Ctrl-C ends it.", flush=True)
        server.serve_forever()


def make_server(patterns: Iterable[str], port: int) -> http.server.ThreadingHTTPServer:
    """What serves the page.

    Raises:
      OSError: the port is taken.
    """
    return _Server((_HOST, port), _handler(list(patterns)))


def live_page(patterns: Iterable[str]) -> str:
    """The page: a line for each run that trains, and the report of all evaluated runs.

    A line also names each run that cannot be read.
    """
    patterns = list(patterns)
    found = read_runs(find_runs(patterns))
    lists = {
        "In training": found.in_training,
        "Skipped": found.skipped,
        "Incomplete": found.incomplete,
    }
    groups = group_runs(found.runs) if found.runs else {}
    command = shlex.join(["gnp", "report", *(f"--runs={p}" for p in patterns), "--serve"])
    return html_report(
        groups, lists=lists, refresh_seconds=_SECONDS_BETWEEN_REFRESHES, command=command
    )


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A browser that leaves early is no error; others are one line."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"A request failed: {reason(repr(error))}", file=sys.stderr)


def _handler(patterns):
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = _SECONDS_FOR_A_REQUEST

        def do_HEAD(self):
            self._answer(with_page=False)

        def do_GET(self):
            self._answer(with_page=True)

        def _answer(self, with_page):
            if not _LOOPBACK.fullmatch(self.headers.get("Host", "").strip()):
                self.send_error(403, "This page is for this machine alone")
                return
            if self.path != "/":
                self.send_error(404)
                return
            try:
                page = live_page(patterns).encode()
            except Exception as error:  # a page that says so is better than none
                self.send_error(500, "The page cannot be made", reason(repr(error)))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            if with_page:
                self.wfile.write(page)

        def log_message(self, *_):
            """Requests are not logged."""

    return Handler
