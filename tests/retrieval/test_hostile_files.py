"""Hostile files are refused with a reason, within bounded time and memory."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from retrieval.readers import FetchedFile, Unreadable, isolation, read
from retrieval.sources import Archive, Folder, SourceUnavailable
from tests.processes import PROJECT, test_environment
from tests.retrieval.files import docx, paragraph, pdf, zipped

BOMB = "<!DOCTYPE x [<!ENTITY a '" + "a" * 1000 + "'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 30}'>" for n in range(6)
) + "]>"  # fmt: skip


def reason(path: str, content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    with pytest.raises(Unreadable) as caught:
        list(read(FetchedFile(path=path, content=raw)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("a.md", b"\x89PNG\r\n\x1a\n\x00\xff", "binary"),
        ("a.md", b"text\x00more", "binary"),
        ("a.md", pdf("x"), "a .pdf file, not .md"),
        ("a.md", zipped({"a": "b"}), "a .zip file, not .md"),
        ("a.pdf", "no PDF", "no .pdf file"),
        ("a.pdf", b"%PDF-1.4\nbroken", "a broken PDF"),
        ("a.pdf", pdf("x")[:-200], "PDF"),
        ("a.pdf", pdf(""), "empty"),
        ("a.pdf", pdf("x").replace(b"/Root 1 0 R", b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 "
            b"/O (" + b"o" * 32 + b") /U (" + b"u" * 32 + b") >> /ID [(a) (a)] /Root 1 0 R"), "encrypted"),
        ("a.docx", "x", "no .docx file"),
        ("a.docx", zipped({"a": "b"}), "no Word document"),
        ("a.docx", docx(paragraph("&g;"), BOMB), "broken"),
        ("a.docx", zipped({"word/document.xml": b"\0" * (200 << 20)}), "more than 100 MB"),
        ("a.csv", "a,b\n" + '"' + "x" * 2_000_000 + '",1\n', "field larger than"),
        ("a.jsonl", '{"a": ' + "[" * 100_000, "no JSON"),
        ("a.jsonl", "[1]\n", "no JSON object"),
        ("a.html", "", "empty"),
        ("a.png", b"\x89PNG", "no reader for .png"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_with_a_reason(path: str, content: str | bytes, said: str) -> None:
    assert said in reason(path, content)


@pytest.mark.parametrize(
    "content", ["<div>" * 100_000 + "deep", "<b>" * 100_000, "<table>" * 20_000 + "x", "<" * 900_000]
)
def test_a_page_nested_without_end_ends_its_reader_at_worst(content: str) -> None:
    with suppress(Unreadable):
        list(read(FetchedFile(path="a.html", content=content.encode())))
    [after] = read(FetchedFile(path="b.html", content=b"<p>Next."))
    assert after.text == "Next."


def test_every_reader_runs_without_the_servers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    isolation._end()
    list(read(FetchedFile(path="a.txt", content=b"x")))
    [process] = isolation._idle[os.getpid()]
    environment = Path(f"/proc/{process.child.pid}/environ").read_text()
    assert "PATH=" in environment
    for name in ("sesame", "OPENAI_API_KEY", "DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
        assert name not in environment


@pytest.mark.parametrize(
    ("path", "content"),
    [("a.md", "x"), ("a.mdx", "x"), ("a.txt", "x"), ("a.html", "x"), ("a.csv", "a,b\n1,2\n"), ("a.jsonl", '{"a": 1}')],
)
def test_every_reader_is_held_to_the_time_limit(path: str, content: str, settings: Any) -> None:
    list(read(FetchedFile(path="a.txt", content=b"x")))
    process = isolation._idle[os.getpid()][-1]
    os.kill(process.child.pid, signal.SIGSTOP)
    settings.FABRA_READER_TIMEOUT_S = 0.01
    assert "took longer than" in reason(path, content)


def test_a_reader_whose_parent_is_gone_ends_by_itself() -> None:
    isolation._end()
    list(read(FetchedFile(path="a.txt", content=b"x")))
    [process] = isolation._idle[os.getpid()]
    seconds, _ = resource.prlimit(process.child.pid, resource.RLIMIT_CPU)
    assert seconds <= settings.FABRA_READER_TIMEOUT_S + 60


def test_a_file_is_not_blamed_for_a_process_that_died_before() -> None:
    list(read(FetchedFile(path="a.txt", content=b"x")))
    process = isolation._idle[os.getpid()][-1]
    resource.prlimit(process.child.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))  # as if it had no memory left
    [found] = read(FetchedFile(path="b.txt", content=b"Next. " * 400_000))
    assert found.text.startswith("Next.") and process.child.poll() is not None


def test_a_file_that_is_read_in_part_leaves_nothing_for_the_next() -> None:
    rows = "text\n" + "Row.\n" * 20_000
    first = read(FetchedFile(path="a.csv", content=rows.encode()))
    assert next(first)
    [other] = read(FetchedFile(path="b.txt", content=b"While the first is open."))
    first.close()
    [after] = read(FetchedFile(path="c.txt", content=b"After it."))
    assert (other.text, after.text) == ("While the first is open.", "After it.")


def test_a_table_of_many_rows_is_read_whole() -> None:
    rows = "text\n" + "Row.\n" * 20_000
    assert sum(1 for _ in read(FetchedFile(path="a.csv", content=rows.encode()))) == 20_000


def test_a_reader_that_takes_too_long_is_ended(settings: Any) -> None:
    allowed_s, settings.FABRA_READER_TIMEOUT_S = settings.FABRA_READER_TIMEOUT_S, 0.01
    assert "took longer than" in reason("a.html", "<p>x</p>" * 20_000)
    settings.FABRA_READER_TIMEOUT_S = allowed_s
    [after] = read(FetchedFile(path="a.html", content=b"<p>x"))
    assert after.text == "x"


def test_a_reader_that_takes_all_memory_is_ended(settings: Any) -> None:
    isolation._end()
    settings.FABRA_READER_MAX_BYTES = 300 << 20
    assert reason("a.html", b"<p>x</p>" * 2_400_000) in (
        "a broken page",
        "broke its reader, or wanted more than 300 MB of memory",
    )
    isolation._end()


def test_archives_are_looked_at_before_they_are_unpacked(tmp_path: Path, settings: Any) -> None:
    link = "link.md"
    path = tmp_path / "a.zip"
    path.write_bytes(
        zipped({
            "good/page.md": "# Good", "../../etc/passwd.md": "x", "/abs.md": "x", "bomb.md": b"\0" * 15_000_000,
            "inner.zip": zipped({"a.md": "x"}), "large.txt": "x" * 20_000_001, "picture.png": b"", ".hidden.md": "x",
        })
    )  # fmt: skip
    import zipfile

    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo(link)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refused = {entry.path: entry.refused for entry in Archive(path).entries()}
    assert (refused.pop("good/page.md"), refused.pop("abs.md")) == ("", "")
    assert {name: reason.split(",")[0] for name, reason in refused.items()} == {
        "../../etc/passwd.md": "a path that leads out of the archive",
        "bomb.md": refused["bomb.md"].split(",")[0],
        "inner.zip": "an archive inside of an archive",
        "large.txt": "20",
        "link.md": "a link",
    }
    assert "to 1" in refused["bomb.md"]
    for name in refused:
        with pytest.raises(Unreadable):
            Archive(path).fetch(name)
    settings.FABRA_ARCHIVE_MAX_FILES = 3
    with pytest.raises(SourceUnavailable, match="files"):
        list(Archive(path).entries())
    settings.FABRA_ARCHIVE_MAX_FILES, settings.FABRA_ARCHIVE_MAX_BYTES = 100, 1000
    with pytest.raises(SourceUnavailable, match="bytes when unpacked"):
        list(Archive(path).entries())
    path.write_bytes(path.read_bytes()[:-30])
    assert [entry.refused for entry in Folder(tmp_path).entries()] == ["The archive is broken (BadZipFile)."]


def test_a_line_of_a_gigabyte_costs_no_memory(tmp_path: Path) -> None:
    with open(tmp_path / "line.md", "wb") as file:
        file.truncate(1 << 30)
    code = """
import resource, sys, django
django.setup()
from retrieval.sources import open_source
from retrieval.readers import Unreadable
source = open_source(sys.argv[1])
(entry,) = source.entries()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    source.fetch(entry.path)
except Unreadable as error:
    print(error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, env=test_environment(), capture_output=True, text=True
    )
    assert done.stdout == "1,073,741,824 bytes, and the limit is 20,000,000 True\n", done.stderr


@pytest.mark.parametrize(("name", "within"), [("a.txt", ""), ("a.zip", "/b.txt")])
def test_a_link_out_of_the_folder_is_not_followed(name: str, within: str, tmp_path: Path) -> None:
    (tmp_path / f"secret-{name}").write_bytes(zipped({"b.txt": "secret"}))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / name).symlink_to(tmp_path / f"secret-{name}")
    source = Folder(tmp_path / "docs")
    assert [entry.refused for entry in source.entries()] == ["a link out of the folder"]
    with pytest.raises(Unreadable, match="a link out"):
        source.fetch(f"{name}{within}")
