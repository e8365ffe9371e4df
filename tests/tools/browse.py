"""Open a page in a headless browser and print, as JSON, what it shows: python browse.py PAGE WIDTH."""

import json
import os
import sys
from pathlib import Path

os.environ.update(QT_QPA_PLATFORM='offscreen', QTWEBENGINE_DISABLE_SANDBOX='1')
from PySide6.QtCore import QEventLoop, QUrl
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile, QWebEngineUrlRequestInterceptor
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication

MEASURE = """
const images = [...document.images].map(image => image.naturalWidth);
const font = element => parseFloat(getComputedStyle(element).fontSize);
const scale = svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
JSON.stringify({
  images,
  width: innerWidth,
  content: document.documentElement.scrollWidth,
  charts: document.querySelectorAll('svg').length,
  smallest_text: Math.min(
    ...[...document.querySelectorAll('p, td, th, figcaption, h3, .bar, .legend')].map(font),
    ...[...document.querySelectorAll('svg text')].map(text => font(text) * scale(text.ownerSVGElement))),
  text: document.body.innerText,
})
"""


class Requests(QWebEngineUrlRequestInterceptor):
    """What the page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def interceptRequest(self, info) -> None:
        self.urls.append(info.requestUrl().toString())


class Page(QWebEnginePage):
    """Keeps what is written to the console."""

    def __init__(self, profile) -> None:
        super().__init__(profile)
        self.messages: list[str] = []

    def javaScriptConsoleMessage(self, level, message, line, source) -> None:
        self.messages.append(message)


def main() -> None:
    path, width = sys.argv[1], int(sys.argv[2])
    app = QApplication(sys.argv[:1])
    loop, profile, requests = QEventLoop(), QWebEngineProfile(), Requests()
    profile.setUrlRequestInterceptor(requests)
    page, view = Page(profile), QWebEngineView()
    view.setPage(page)
    view.resize(width, 900)
    view.show()
    found = {}

    def measured(text: str) -> None:
        found.update(json.loads(text))
        loop.quit()

    page.loadFinished.connect(lambda ok: (found.update(loaded=ok), loop.quit()))
    page.load(QUrl.fromLocalFile(str(Path(path).resolve())))
    loop.exec()
    page.runJavaScript(MEASURE, measured)
    loop.exec()
    remote = [url for url in requests.urls if not url.startswith(('file:', 'data:'))]
    print(json.dumps({**found, 'console': page.messages, 'remote': remote}))
    view.setPage(None)
    del view, page, app


if __name__ == '__main__':
    main()
