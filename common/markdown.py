"""Markdown to safe HTML, for the chat page, the admin and exports.

The text may be hostile, because a model repeats what documents contain. Raw HTML is shown as text, links are limited
to what `_LINK` allows, and an image becomes a link to it. The sanitizer that runs after the renderer accepts only what
the renderer writes.
"""

import re
from collections.abc import Container, MutableMapping, Sequence
from typing import Any

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

# A relative link must start at the site's root: "refunds.md" in an article names a file, not a page.
_LINK = re.compile(r"https?://|mailto:|/(?!/)|[#?]", re.IGNORECASE)
_SOURCE = re.compile(r"\[(\d{1,3})\]")
_ALIGNMENT = re.compile(r"text-align:(right|center)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_NESTING = 20
_MAX_INLINE_CHARS = 5_000
"""A longer paragraph is shown as it was written, because finding its links takes quadratic time."""

ALL_SOURCES = range(1, 1000)
"""For a text whose sources are not known yet: every `[1]` becomes a citation."""

_sanitizer = nh3.Cleaner(
    tags={
        "a", "blockquote", "br", "code", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
        "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
    },
    attributes={"a": {"href", "title"}, "ol": {"start"}, "pre": {"aria-label"}},
    tag_attribute_values={
        "div": {"role": {"region"}, "aria-label": {"Table"}, "tabindex": {"0"}},
        "pre": {"tabindex": {"0"}},
        "th": {"scope": {"col"}},
    },
    allowed_classes={"div": {"table"}, "span": {"cite"}, "td": {"center", "right"}, "th": {"center", "right"}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener nofollow",
)  # fmt: skip


def render(text: str, sources: Container[int] = (), references: MutableMapping[str, Any] | None = None) -> SafeString:
    """Return the text's HTML; no text raises an error.

    `[1]` becomes `<span class="cite">1</span>` where 1 is in `sources`. `references` holds the link definitions of
    the text before this one; the definitions of this text are added to it.
    """
    text = _SURROGATE.sub("\ufffd", text)
    env = {"sources": sources, "references": {} if references is None else references}
    return mark_safe(_sanitizer.clean(_parser.render(text, env)))  # noqa: S308 - cleaned right here


def _mark_source(state: StateInline, silent: bool) -> bool:
    """Parse `[1]`; links, which begin the same way, are tried first, and inside a link `[1]` is text."""
    found = _SOURCE.match(state.src, state.pos, state.posMax)
    # The parser is silent while it looks for the end of a link's text; a citation there would count as a nested link.
    if silent or not found or state.linkLevel or int(found[1]) not in state.env["sources"]:
        return False
    state.push("source", "", 0).content = found[1]
    state.pos = found.end()
    return True


def _leave_long_paragraphs(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and len(token.content) > _MAX_INLINE_CHARS:
            token.type = "text"


def _fit_page(state: StateCore) -> None:
    """Change the tokens' heading levels, classes and links to those of our pages."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"  # a page itself has h1 and h2
        elif token.type in ("th_open", "td_open"):
            # Alignment becomes a class, because the chat page's content security policy forbids style attributes.
            alignment = _ALIGNMENT.search(str(token.attrs.pop("style", "")))
            if alignment:
                token.attrSet("class", alignment[1])
            if token.type == "th_open":
                token.attrSet("scope", "col")
        elif token.type == "inline":
            token.children = _allowed_links(token.children or [])


def _allowed_links(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with only allowed links.

    A forbidden link is reduced to its text. An image becomes a link to it, or its description where the link is
    forbidden or would be inside another link.
    """
    result: list[Token] = []
    is_in_link = is_kept = False
    for token in tokens:
        if token.type == "link_open":
            is_in_link, is_kept = True, _is_allowed(token.attrGet("href"))
            result += [token] if is_kept else []
        elif token.type == "link_close":
            result += [token] if is_kept else []
            is_in_link = is_kept = False
        elif token.type == "image":
            address = token.attrGet("src")
            description = Token("text", "", 0, content=token.content or str(address))
            if is_in_link or not _is_allowed(address):
                result.append(description)
            else:
                link_open = Token("link_open", "a", 1, attrs={"href": str(address)})
                result += [link_open, description, Token("link_close", "a", -1)]
        else:
            result.append(token)
    return result


def _is_allowed(address: str | int | float | None) -> bool:
    return isinstance(address, str) and bool(_LINK.match(address))


def _draw_source(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return format_html('<span class="cite">{}</span>', tokens[index].content)


def _draw_code(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    language = tokens[index].info.strip().partition(" ")[0]
    label = f"Code {language}".strip()
    return format_html('<pre tabindex="0" aria-label="{}"><code>{}</code></pre>\n', label, tokens[index].content)


def _draw_table_start(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="table" tabindex="0" role="region" aria-label="Table"><table>\n'


def _draw_table_end(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _draw_text(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return escape(tokens[index].content)


def _make_parser() -> MarkdownIt:
    options = {"html": False, "linkify": True, "maxNesting": _MAX_NESTING}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough", "linkify"])
    # `_allowed_links` decides about links and keeps a forbidden one's text; the parser would show its Markdown.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    assert parser.linkify is not None
    parser.linkify.set({"fuzzy_link": False})  # "settings.py" is a file, not a site in Paraguay
    parser.linkify.add("//", None)
    parser.inline.ruler.after("link", "source", _mark_source)
    parser.core.ruler.before("inline", "long_paragraphs", _leave_long_paragraphs)
    parser.core.ruler.push("fit_page", _fit_page)
    for name, draw in {
        "source": _draw_source, "fence": _draw_code, "code_block": _draw_code, "text": _draw_text,
        "table_open": _draw_table_start, "table_close": _draw_table_end,
    }.items():  # fmt: skip
        parser.add_render_rule(name, draw)
    return parser


_parser = _make_parser()
