"""Opens a page in a browser without a screen, and prints what it shows as JSON.

python browser.py PAGE.html SCREENSHOT.png light|dark
"""

import json
import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = "--no-sandbox --disable-gpu" + (
    " --blink-settings=preferredColorScheme=0" if sys.argv[3] == "dark" else ""
)

from PyQt6.QtCore import QTimer, QUrl
from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile, QWebEngineUrlRequestInterceptor
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

_WHAT_IT_SHOWS = """JSON.stringify({
    title: document.title,
    headings: [...document.querySelectorAll("h2")].map(h => h.textContent),
    ground: getComputedStyle(document.body).backgroundColor,
    line: getComputedStyle(document.querySelector(".line")).stroke,
    charts: [...document.querySelectorAll(".chart")].map(c => c.getBoundingClientRect().width),
    pictures: [...document.images].map(i => i.naturalWidth),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


class _Requests(QWebEngineUrlRequestInterceptor):
    """Notes what the page asks for."""

    def __init__(self):
        super().__init__()
        self.schemes = []

    def interceptRequest(self, info):
        self.schemes.append(info.requestUrl().scheme())


class _Page(QWebEnginePage):
    """Notes what the page complains about."""

    messages = []  # noqa: RUF012

    def javaScriptConsoleMessage(self, level, message, line, source):
        self.messages.append(message)


app = QApplication(sys.argv)
profile, requests, view = QWebEngineProfile(), _Requests(), QWebEngineView()
profile.setUrlRequestInterceptor(requests)
page = _Page(profile, view)
view.setPage(page)
view.resize(1200, 1800)


def finish(shown):
    shown = json.loads(shown)
    print(json.dumps(shown | {"schemes": requests.schemes, "messages": page.messages}))
    view.grab().save(sys.argv[2])
    app.quit()


def look():
    page.runJavaScript(_WHAT_IT_SHOWS, finish)


page.loadFinished.connect(lambda ok: QTimer.singleShot(1000, look))
QTimer.singleShot(60_000, app.quit)
view.load(QUrl.fromLocalFile(os.path.abspath(sys.argv[1])))
view.show()
app.exec()
os._exit(0)  # Qt complains about the order in which Python ends
