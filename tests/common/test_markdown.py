"""Markdown: what is rendered, and that nothing hostile gets through or takes long."""

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.markdown import ALL_SOURCES, render
from tests.calls import calls_of

LOADING = {"script", "img", "iframe", "object", "embed", "style", "svg", "math", "form", "link", "meta", "base"}
PLACES = ["{}", "[x]({})", "<{}>", "![x]({})", '[x](https://a.example "{}")', "[x]: {}\n\n[x]", "```{}\nx\n```"]
LINK = 'target="_blank" rel="noopener nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**bold *and italic* both**", "<p><strong>bold <em>and italic</em> both</strong></p>"),
        ("Title\n===\n\nPart\n---", "<h3>Title</h3>\n<h4>Part</h4>"),
        ("###### Least", "<h6>Least</h6>"),
        ("[docs][1a]\n\n[1a]: https://a.example/b", f'<p><a href="https://a.example/b" {LINK}>docs</a></p>'),
        ("see https://a.example/b_(c).", f'<p>see <a href="https://a.example/b_(c)" {LINK}>https://a.example/b_(c)</a>.</p>'),
        ("me@mail.com", f'<p><a href="mailto:me@mail.com" {LINK}>me@mail.com</a></p>'),
        ("~~old~~", "<p><s>old</s></p>"),
        ("settings.py", "<p>settings.py</p>"),
        ("3. c\n4. d", '<ol start="3">\n<li>c</li>\n<li>d</li>\n</ol>'),
        ("```py\na < b\n```", '<pre tabindex="0" aria-label="Code py"><code>a &lt; b\n</code></pre>'),
        # Relative addresses: from the root, or else only the words.
        ("[plans](/plans)", f'<p><a href="/plans" {LINK}>plans</a></p>'),
        ("[refunds](refunds.md)", "<p>refunds</p>"),
        ("[other](//evil.example)", "<p>other</p>"),
        ("[run](javascript:alert(1)) <javascript:alert(1)>", "<p>run javascript:alert(1)</p>"),
        # Nothing is loaded: an image is a link, or its words.
        ("![a chart](https://a.example/i.png)", f'<p><a href="https://a.example/i.png" {LINK}>a chart</a></p>'),
        ("![a chart](i.png)", "<p>a chart</p>"),
        ("[![icon](https://a.example/i)](https://b.example)", f'<p><a href="https://b.example" {LINK}>icon</a></p>'),
        ("<b onclick=x>raw</b>", "<p>&lt;b onclick=x&gt;raw&lt;/b&gt;</p>"),
    ],
)  # fmt: skip
def test_blocks_and_links(text: str, html: str) -> None:
    assert render(text).strip() == html


def test_a_table_holds_code_with_a_bar_and_its_alignment_is_a_class() -> None:
    html = render("| Filter | Count |\n|---|--:|\n| `a \\| b` | 2 |")
    assert '<div class="table" tabindex="0" role="region" aria-label="Table"><table>' in html
    assert '<th scope="col">Filter</th>' in html
    assert "<td><code>a | b</code></td>" in html
    assert '<td class="right">2</td>' in html
    assert "style" not in html


def test_marks_of_known_sources_only() -> None:
    assert render("It is so [1][2], not [3].", {1, 2}).strip() == (
        '<p>It is so <span class="cite">1</span><span class="cite">2</span>, not [3].</p>'
    )
    assert "cite" not in render("It is so [1].")
    assert "cite" not in render("`[1]` [1](https://a.example) [see [1]](https://a.example)", ALL_SOURCES)
    assert "cite" not in render("```\n[1]\n```", ALL_SOURCES)


class Unsafe(HTMLParser):
    """Collects what may run or load; `handle_starttag` sees what a browser would."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in (
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "style",
            "svg",
            "math",
            "form",
            "link",
            "meta",
            "base",
        ):
            self.found.append(tag)
        for name, value in attributes:
            if name.startswith("on") or name in ("style", "src", "srcdoc", "id", "name"):
                self.found.append(name)
            if name == "href" and urlsplit(value or "").scheme not in ("http", "https", "mailto", ""):
                self.found.append(value or "")


def test_nothing_of_real_hostile_texts_can_run(shared_data: Any) -> None:
    texts = json.loads((shared_data("naughty_strings") / "blns.json").read_text())
    attacks = (shared_data("injections") / "attacks.jsonl").read_text().splitlines()
    texts += [json.loads(line)["text"] for line in attacks]
    for text in texts:
        for around in (
            "{}",
            "[x]({})",
            "<{}>",
            "![x]({})",
            '[x](https://a.example "{}")',
            "[x]: {}\n\n[x]",
            "```{}\nx\n```",
        ):
            assert not Unsafe(render(around.replace("{}", text), ALL_SOURCES)).found, (around, text)


@given(st.text(alphabet="ab[]()<>!*_`~|-#:/\\\"'&;\n \t1\ud800\x00", max_size=300))
def test_any_text_is_rendered_safely(text: str) -> None:
    assert not Unsafe(render(text, ALL_SOURCES)).found


HOSTILE = [
    "[", "![", "[[]", "*", "_", ">", "> ", "`", "~", "<", "|", "\\", "- ", "1. ", "**a *b ", "[a](", "![a](", "a@",
    "http://a.", "//a.b/", "[a]: b\n", "|-|\n", "a\n", "- a\n\n", "`` ` ", "&#", "\x00", "\ud800", "[1]",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_work(piece: str) -> None:
    def work_for(chars: int) -> int:
        return calls_of(lambda: render((piece * chars)[:chars], ALL_SOURCES))

    assert work_for(20_000) < 6 * work_for(5_000)


@pytest.mark.parametrize("text", [
    "![" * 3000 + "](a)" * 3000, "*a" * 3000 + "a*" * 3000, "*" * 50_000 + "a" + "*" * 50_000,
    "> " * 5000 + "a", "- " * 5000 + "a", "[" * 2000 + "](https://a.example)" * 2000,
])  # fmt: skip
def test_deep_nesting_is_rendered(text: str) -> None:
    assert not Unsafe(render(text)).found
