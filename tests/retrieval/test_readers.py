"""Each kind of file becomes Markdown with its title, headings, tables and code; what surrounds the text goes."""

from typing import Any

import pytest

from retrieval.readers import FetchedFile, Options, ReadDocument, Unreadable, read
from tests.retrieval.files import docx, paragraph, pdf

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Reset your password - Acme Help</title>
<link rel="canonical" href="https://help.acme.test/reset"><style>p {}</style></head>
<body><div class="topbar"><a href="/">Home</a><a href="/pricing">Pricing</a></div>
<div class="sidebar"><ul><li><a href="/a">Account</a></li><li><a href="/b">Billing</a></li></ul></div>
<main><div class="breadcrumbs"><a href="/">Help</a></div><article><h1>Reset your password</h1>
<p>From the <a href="/login">sign-in page</a>. Use snake_case &amp; 2 * 3.</p>
<h2>Steps</h2><ol><li>Open it.</li><li>Click <b>Forgot</b>.<ul><li>On mobile, tap first.</li></ul></li></ol>
<pre><code class="language-bash">acme reset \\
    --code 1234
</code></pre>
<table><thead><tr><th>Plan</th><th>Resets</th></tr></thead><tbody><tr><td>Free</td><td>3</td></tr></tbody></table>
</article></main><div class="cookie-banner">We use cookies.</div><footer>© Acme</footer><script>alert(1)</script>
</body></html>"""


def one(path: str, content: str | bytes, **options: Any) -> ReadDocument:
    (found,) = many(path, content, **options)
    return found


def many(path: str, content: str | bytes, **options: Any) -> list[ReadDocument]:
    raw = content.encode() if isinstance(content, str) else content
    found = read(FetchedFile(path=path, content=raw), Options(**options))
    return [item for item in found if isinstance(item, ReadDocument)]


def test_html_keeps_its_text_and_loses_its_surroundings() -> None:
    page = one("help/reset.html", PAGE)
    assert (page.entity_id, page.title) == ("help/reset", "Reset your password")
    assert page.metadata["url"] == "https://help.acme.test/reset"
    for kept in (
        "# Reset your password", "[sign-in page](https://help.acme.test/login)", "snake_case & 2 * 3", "## Steps",
        "1. Open it.",
        "2. Click **Forgot**.", "- On mobile, tap first.", "```bash\nacme reset \\\n    --code 1234\n```",
        "| Plan | Resets |\n| --- | --- |\n| Free | 3 |",
    ):  # fmt: skip
        assert kept in page.text, kept
    for gone in ("Home", "Billing", "Help", "cookies", "©", "alert", "p {}"):
        assert gone not in page.text, gone


def test_mdx_keeps_its_text_and_loses_its_code() -> None:
    page = one(
        "part.mdx",
        "---\ntitle: Part\n---\nimport shared from '~/shared.js'\nimport {\n  a,\n} from 'b'\n\n"
        "export const x = {\n  y: 1\n}\n\n"
        "{/* a note */}\n<Note title=\"Mind\">\n\nKeep **this** {'and this'}.\n\n</Note>\n\n"
        '1. <>{shared[\'login\'].text}</> Go on.\n\n<Screenshot src="/a.png" alt="The tab" />\n\n'
        'Use `{braces}` and `<tags>` in <pkg>.\n\n```jsx\nimport a from "b"\n<Note>{x}</Note>\n```\n\n'
        '<DataTable\n  headers={["A", "B"]}\n  rows={[\n    ["1", "two, three"],\n'
        '    ["x", <Link href="#"><C>y</C></Link>]\n  ]}\n/>\n',
    )
    assert page.title == "Part"
    for kept in (
        "Keep **this** and this.", "1.  Go on.", "The tab", "Use `{braces}` and `<tags>` in <pkg>.", "Mind",
        '```jsx\nimport a from "b"\n<Note>{x}</Note>\n```', "| A | B |\n| --- | --- |\n| 1 | two, three |\n| x | y |",
    ):  # fmt: skip
        assert kept in page.text, kept
    prose = page.text.split("```")[0] + page.text.split("```")[2]
    for gone in ("shared", "import", "export", "a note", "Screenshot", "DataTable", "</Note>", "y: 1"):
        assert gone not in prose, gone


def test_every_page_of_real_documentation_is_read_without_code_in_its_prose(shared_data: Any) -> None:
    root = shared_data("npm_docs") / "content"
    files = sorted(root.rglob("*.mdx"))
    assert len(files) == 226
    for file in files:
        path = file.relative_to(root).as_posix()
        page = one(path, file.read_bytes(), base_url="https://docs.example.test")
        assert page.title and page.text.strip()
        assert page.metadata["url"].startswith(("https://docs.example.test", "https://github.com/"))
        for noise in ("shared.js", "{shared", "<Screenshot", "<Note", "<DataTable", "<Index", "<>"):
            assert noise not in page.text, (path, noise)


def test_a_pdf_knows_its_pages() -> None:
    page = one("a/manual.pdf", pdf("Press the green button.\nThen wait.", "Press the red one.", title="Manual"))
    assert (page.entity_id, page.title, page.metadata["pages"]) == ("a/manual", "Manual", 2)
    assert page.text == "## Page 1\n\nPress the green button.\nThen wait.\n\n## Page 2\n\nPress the red one."


def test_a_word_document_becomes_markdown() -> None:
    cell = "<w:tc>{}</w:tc>".format
    table = "<w:tbl>" + "".join(
        f"<w:tr>{cell(paragraph(a))}{cell(paragraph(b))}</w:tr>" for a, b in [("Plan", "Price"), ("Free", "0")]
    ) + "</w:tbl>"  # fmt: skip
    page = one("terms.docx", docx(paragraph("Terms", "Heading1") + paragraph("Pay in time.") + table))
    assert page.text.startswith("# Terms\n\nPay in time.")
    assert "| Plan | Price |\n| --- | --- |\n| Free | 0 |" in page.text


def test_a_table_is_a_document_for_each_row() -> None:
    rows = many("faq.csv", 'id,question,answer,team\n7,How?,"Like this,\nand that.",a\n8,Why?,So.,b\n')
    assert [(row.entity_id, row.title, row.text) for row in rows] == [
        ("faq/7", "How?", "Like this,\nand that."), ("faq/8", "Why?", "So."),
    ]  # fmt: skip
    assert rows[1].metadata == {"team": "b", "row": 4, "path": "faq.csv"}
    mapping = {"text": "body", "title": "headline", "id": "sku"}
    (row,) = many("shop.jsonl", '{"sku": "A-1", "headline": "Lamp", "body": "Bright.", "n": 3}\n\n', mapping=mapping)
    assert (row.entity_id, row.title, row.text, row.metadata["n"]) == ("A-1", "Lamp", "Bright.", 3)
    (row,) = many("plain.csv", "plan;price\nFree;0\n")
    assert (row.entity_id, row.text) == ("plain/1", "plan: Free\nprice: 0")
    with pytest.raises(Unreadable, match="no column 'body'; there are plan, price"):
        many("plain.csv", "plan,price\nFree,0\n", mapping={"text": "body"})


def test_a_document_links_back_to_its_source() -> None:
    assert one("a/b c.md", "x", base_url="https://d.test/docs/").metadata["url"] == "https://d.test/docs/a/b%20c"
    assert one("a/index.md", "x", base_url="https://d.test").metadata["url"] == "https://d.test/a"
    assert (
        one("a.md", "---\nurl: https://e.test/x\n---\nx", base_url="https://d.test").metadata["url"]
        == "https://e.test/x"
    )
    github = "---\ngithub_repo: n/c\ngithub_branch: main\ngithub_path: docs/a.md\n---\nx"
    assert one("a.md", github).metadata["url"] == "https://github.com/n/c/blob/main/docs/a.md"
    assert "url" not in one("a.md", "x").metadata


def test_the_text_begins_below_the_front_matter() -> None:
    assert one("a.md", "---\ntitle: A\n---\n\r\n    # code\n").text == "    # code\n"


def test_toml_front_matter_and_other_encodings_are_read() -> None:
    assert one("a.md", '+++\ntitle = "Häuser"\n+++\nx').title == "Häuser"
    assert one("a.txt", "Häuser".encode("utf-16")).text == "Häuser"
    assert "Häuser" in one("a.html", '<meta charset="latin-1"><p>Häuser sind hier.'.encode("latin-1")).text
