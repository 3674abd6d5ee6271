"""The commands that scripts rely on."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from retrieval.models import Chunk, Document

pytestmark = pytest.mark.django_db


def run(*arguments: Any, **options: Any) -> str:
    out, errors = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=errors, **options)
    return out.getvalue() + errors.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "start.md").write_text(
        "---\ntitle: Start here\ntags: [a, b]\ndate: 2026-01-02\n---\nPress the button."
    )
    (tmp_path / "page.html").write_text(
        "<html><head><title>Page</title><style>x{}</style></head><body><nav><a href='/'>Menu</a></nav><h1>Page</h1>"
        "<p>Water &amp; fire.</p><script>alert(1)</script><ul><li>one</li></ul></body></html>"
    )
    (tmp_path / "plain.txt").write_text("Only text.")
    (tmp_path / "part.mdx").write_text("# Part\n\nMore text.")
    (tmp_path / ".hidden.md").write_text("hidden")
    (tmp_path / "binary.md").write_bytes(b"\x89PNG\xff\xfe\x00")
    (tmp_path / "broken.md").write_text("---\na: [\n---\ntext")
    (tmp_path / "empty.txt").write_text("  ")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_a_folder_is_indexed_and_what_cannot_be_read_is_reported(folder: Path) -> None:
    said = run("index_documents", folder, index="docs")
    assert "5 indexed, 0 unchanged, 2 unreadable, 1 with warnings" in said
    for name, reason in [
        ("binary.md", "binary"), ("broken.md", "'a' was read as text"), ("empty.txt", "empty")
    ]:  # fmt: skip
        assert any(name in line and reason in line for line in said.splitlines()), name
    start = Document.objects.get(entity_id="guide/start")
    assert start.title == "Start here"
    assert start.metadata == {"title": "Start here", "tags": ["a", "b"], "date": "2026-01-02", "path": "guide/start.md"}
    page = Chunk.objects.get(document__entity_id="page").text
    assert page == "# Page\n\nWater & fire.\n\n- one"
    assert "0 indexed, 5 unchanged" in run("index_documents", folder, index="docs")


def test_search_prints_people_and_json(folder: Path) -> None:
    run("index_documents", folder, index="docs")
    assert "Start here" in run("search", "docs", "Which button?")
    hits = json.loads(run("search", "docs", "Which button?", "--top-k", "1", "--json"))
    assert [hit["document_id"] for hit in hits] == ["guide/start"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    for arguments in [
        ("index_documents", tmp_path / "none", "--index", "docs"),
        ("index_documents", tmp_path, "--index", "docs"),
        ("search", "none", "a"),
    ]:
        with pytest.raises(CommandError):
            run(*map(str, arguments))


def test_real_documentation_is_indexed(shared_data: Any, tmp_path: Path) -> None:
    source = shared_data("npm_docs") / "content"
    pages = sorted(source.rglob("*.mdx"))[:12]
    for page in pages:
        target = tmp_path / page.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(page.read_bytes())
    said = run("index_documents", tmp_path, index="npm")
    assert f"{len(pages)} indexed" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search", "kb", "hi", "--filters", "{bad"], "write JSON"),
        (["materialize", "tier", "--start", "yesterday"], "'yesterday' is no moment"),
        (["materialize", "tier", "--end", "2026-02-31"], "'2026-02-31' is no moment"),
    ],
)
def test_a_wrong_argument_is_told_in_words(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command(*arguments)
