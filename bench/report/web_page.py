"""The report as one self-contained HTML page: plots inside it, tables that a click sorts, light and dark as the reader's.

It asks for nothing: its content security policy lets no request leave it and no script run but its own. Whatever a
record or the Markdown says is escaped; of HTML only what the report itself writes has an effect: folds and plots.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import unescape
from itertools import pairwise
from pathlib import Path
from string import Template

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

PAGE, STYLE, SCRIPT = (Path(__file__).with_name(f"page.{kind}") for kind in ("html", "css", "js"))
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
OPENED = re.compile(r"<details><summary>([^<>]*)</summary>\s*")
PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([\w.-]+)">\s*'
    r'<img alt="([^"<>]*)" src="([\w.-]+)">\s*</picture>\s*'
)


def page(markdown: str, folder: Path, pictures: list[str]) -> str:
    """The page of a report's Markdown. ``pictures`` are the names under ``folder`` that it may show.

    Raises ``OSError`` where one of those that are shown cannot be read.
    """
    converter = MarkdownIt("commonmark", {"html": True}).enable("table")
    shown = _Pictures(folder, pictures)
    for name, rule in (
        ("html_block", shown.own_html),
        ("image", shown.image),
        ("html_inline", lambda tokens, index, *_: escapeHtml(tokens[index].content)),
        # Wide tables scroll by themselves; the page does not. A focus lets the keyboard scroll them.
        ("table_open", lambda *_: '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>\n'),
        ("table_close", lambda *_: "</table></div>\n"),
    ):
        converter.renderer.rules[name] = rule
    tokens = converter.parse(markdown)
    title, sections = _headings(tokens)
    links = "\n".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in sections)
    script = SCRIPT.read_text(encoding="utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        policy=policy,
        title=title,
        style=STYLE.read_text(encoding="utf-8"),
        links=links,
        main=converter.renderer.render(tokens, converter.options, {}),
        script=script,
    )


@dataclass(frozen=True)
class _Pictures:
    """Rules for the parts of a page that show a file: only those of ``names`` are ever read."""

    folder: Path
    names: list[str]

    def own_html(self, tokens: list[Token], index: int, options, env) -> str:
        """Folds and plots as the report writes them; all other HTML as text."""
        text = tokens[index].content
        if text.strip() == "</details>":
            return "</details>\n"
        if opened := OPENED.fullmatch(text):
            return f"<details><summary>{escapeHtml(unescape(opened[1]))}</summary>\n"
        plot = PICTURE.fullmatch(text)
        if plot and {plot[1], plot[3]} <= set(self.names):
            dark, light = self._inlined(plot[1]), self._inlined(plot[3])
            return (
                f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
                f'<img alt="{escapeHtml(unescape(plot[2]))}" src="{light}"></picture>\n'
            )
        return f"<p>{escapeHtml(text)}</p>\n"

    def image(self, tokens: list[Token], index: int, options, env) -> str:
        """A picture of a case inside the page; of any other address only the words for it."""
        name, words = tokens[index].attrs["src"], escapeHtml(tokens[index].content)
        return f'<img alt="{words}" src="{self._inlined(name)}">' if name in self.names else words

    def _inlined(self, name: str) -> str:
        content = (self.folder / name).read_bytes()
        return f"data:{KINDS[Path(name).suffix]};base64,{b64encode(content).decode()}"


def _headings(tokens: list[Token]) -> tuple[str, list[tuple[str, str]]]:
    """The title, and an identifier and the words of each section, which is given to its heading; escaped."""
    title, sections = "", []
    for heading, inline in pairwise(tokens):
        if heading.type != "heading_open":
            continue
        words = escapeHtml("".join(part.content for part in inline.children))
        if heading.tag == "h1":
            title = words
        elif heading.tag == "h2":
            heading.attrSet("id", f"section-{len(sections) + 1}")
            sections.append((heading.attrs["id"], words))
    return title, sections
