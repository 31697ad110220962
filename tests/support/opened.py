"""Pages in a browser that are watched: a page asks for nothing beyond itself and complains of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Opened:
    """Pages, each in a context of its own, and what they said and asked for."""

    def __init__(self, chromium: Any, folder: Path) -> None:
        self.chromium = chromium
        self.folder = folder
        self.contexts: list[Any] = []
        self.wrong: list[str] = []
        self.requests: list[str] = []

    def open(self, html: str, **options: Any) -> Any:
        """Return a page of this text, opened from a file."""
        context = self.chromium.new_context(offline=True, **options)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        file = self.folder / f"page{len(self.contexts)}.html"
        file.write_text(html)
        page.goto(file.as_uri())
        return page

    def check(self) -> None:
        """Check that since the last time the pages stayed on their own and said nothing wrong."""
        wrong, requests = self.wrong, self.requests
        self.wrong, self.requests = [], []
        assert not wrong
        assert requests
        assert all(url.startswith(("file:", "data:")) for url in requests)

    def close(self) -> None:
        """Close all of them."""
        for context in self.contexts:
            context.close()
