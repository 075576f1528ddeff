"""What a browser would make of a page: its elements, names and references, and whether it is well formed."""

from __future__ import annotations

import html.parser
import re
from dataclasses import dataclass, field

VOID = ("meta",)
OURS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "article", "a", "div", "b"),
    *("h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "span", "pre", "figure", "figcaption", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "desc", "defs", "pattern", "rect", "line", "path", "text"),
}


@dataclass
class Page(html.parser.HTMLParser):
    """A page that is read strictly: every element is closed by its own end, in order."""

    source: str
    open: list[str] = field(default_factory=list)
    elements: set[str] = field(default_factory=set)
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    regions: int = 0
    nested: bool = True

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        self.nested &= bool(self.open) and self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]

    @property
    def harmless(self) -> bool:
        """Only our elements, no handler, no script, nothing from elsewhere, every name once and every link answered."""
        ids = self.values("id")
        fills = re.findall(r"url\(#([\w-]+)\)", self.source)
        return (
            self.nested
            and not self.open
            and self.elements <= OURS
            and not [key for key, _ in self.attributes if key.startswith("on") or key in ("src", "xlink:href")]
            and len(ids) == len(set(ids))
            and {link.removeprefix("#") for link in self.values("href")} <= set(ids)
            and all(link.startswith("#") for link in self.values("href"))
            and set(fills) <= set(ids)
            and self.source.count("url(") == len(fills)
            and "default-src 'none'" in self.source
        )


def read(source: str) -> Page:
    return Page(source)


def body(source: str) -> str:
    """What a reviewer reads of a page: all but its style and the fills of its charts."""
    return re.sub(r"<svg width=\"0\".*?</svg>\n", "", source[source.index("<header>") :])
