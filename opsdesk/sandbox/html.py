"""Small readable pages without scripts: text is escaped unless it is already HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from opsdesk.sandbox.server import Response

# Pages load their own style sheet and nothing else, and may not be framed.
PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
STYLE = (Path(__file__).parent / "sandbox.css").read_bytes()


class Html(str):
    """Text that is HTML already; everything else is escaped on its way into a page."""

    __slots__ = ()


def html(part: object) -> Html:
    """Escape a value unless it is HTML; nothing becomes a dash."""
    if isinstance(part, Html):
        return part
    return Html(escape("-" if part is None or part == "" else str(part)))


def link(href: str, label: object) -> Html:
    """A link inside the sandbox or to an address that was checked to be http(s)."""
    return Html(f'<a href="{escape(href)}">{html(label)}</a>')


def badge(word: str, tone: str) -> Html:
    """A state as a word on a tone: ok, warn, danger or calm."""
    return Html(f'<span class="badge {tone}">{escape(word)}</span>')


def code(text: object) -> Html:
    """An identifier in fixed-width type."""
    return Html(f"<code>{html(text)}</code>")


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> Html:
    """A table with a caption, or a sentence when there is nothing; headings ending in `#` are numbers."""
    body = "".join(_row(headings, row) for row in rows)
    title = f"<h2>{escape(caption)}</h2>"
    if not body:
        return Html(f'<section>{title}<p class="empty">{escape(empty)}</p></section>')
    head = "".join(f"<th{_number(name)}>{escape(name.rstrip('#'))}</th>" for name in headings)
    return Html(
        f'<section>{title}<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _number(heading: str) -> str:
    return ' class="number"' if heading.endswith("#") else ""


def _row(headings: Sequence[str], cells: Sequence[object]) -> str:
    return (
        "<tr>"
        + "".join(f"<td{_number(heading)}>{html(cell)}</td>" for heading, cell in zip(headings, cells, strict=True))
        + "</tr>"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and values of one thing."""
    return Html("<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{html(v)}</dd>" for k, v in pairs) + "</dl>")


def button(action: str, label: str, **fields: str) -> Html:
    """A form of one button that posts fixed fields."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    return Html(f'<form method="post" action="{escape(action)}">{hidden}<button>{escape(label)}</button></form>')


def refresher(path: str, query: dict[str, str]) -> Html:
    """A link that switches refreshing by itself on or off; at first off, so that nobody loses their place."""
    if query.get("live"):
        return Html(f"{badge('refreshes every 3 s', 'calm')} {link(path, 'stop')}")
    return link(f"{path}?{urlencode({'live': '1'})}", "Refresh by itself")


def page(title: str, home: str, body: Iterable[str], *, refresh: bool = False, status: int = 200) -> Response:
    """A whole page; `home` names the process in the head line and links to its first page."""
    reload = '<meta http-equiv="refresh" content="3">' if refresh else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'{reload}<title>{escape(title)}</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/sandbox.css"></head><body>'
        f'<header><a class="home" href="/">{escape(home)}</a><span class="badge calm">sandbox</span></header>'
        f"<main><h1>{escape(title)}</h1>{''.join(body)}</main></body></html>"
    )
    return Response(status, text.encode(), "text/html; charset=utf-8", PAGE_HEADERS)


def style() -> Response:
    """The one style sheet of the sandbox pages."""
    return Response(200, STYLE, "text/css; charset=utf-8", (("Cache-Control", "max-age=300"),))


def not_found(home: str) -> Response:
    """The page for an address that shows nothing."""
    return page("Nothing here", home, [Html("<p>This address shows nothing.</p>")], status=404)
