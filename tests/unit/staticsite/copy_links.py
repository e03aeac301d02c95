"""Follows every link of a copy on disk, as a browser would read it."""

import posixpath
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "action"} and value is not None and tag != "use":
                self.found.append((tag, value))
            if name == "id" and value:
                self.ids.add(value)


def dead_links(root: Path, *, live: str = "") -> list[str]:
    """Every link of every page under `root` that leads to no file of it, as a browser would read it."""
    pages: dict[str, _Links] = {}
    for path in root.rglob("*.html"):
        links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
        pages[path.relative_to(root).as_posix()] = links
    assert len(pages) > 5, "there is next to nothing to check"
    dead = []
    for page, links in pages.items():
        for _tag, href in links.found:
            parts = urlsplit(href)
            if parts.scheme == "data" or (parts.scheme and live and href.startswith(live)):
                continue
            if parts.scheme or parts.netloc or parts.path.startswith("/") or parts.query:
                dead.append(f"{page}: {href}")
                continue
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
                if parts.path
                else page
            )
            if target.startswith("..") or not (root / target).is_file():
                dead.append(f"{page}: {href}")
            elif parts.fragment and target in pages and parts.fragment not in pages[target].ids:
                dead.append(f"{page}: {href} (no such place)")
    return dead
