"""The names in a ZIP are read as the program that packed it meant them, and only attacks are called so."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from retrieval.readers import ReadWarning, Unreadable, read
from retrieval.sources import Archive, Folder
from retrieval.sources.entries import SourceUnavailable
from tests.retrieval.files import zipped


def packed(*names: bytes) -> io.BytesIO:
    """Return a ZIP whose members have these bytes as names, without a word about their encoding."""
    stand_ins = [f"{number:04}".ljust(len(name), "x") for number, name in enumerate(names)]
    content = zipped({stand_in: f"Text {number}." for number, stand_in in enumerate(stand_ins)})
    for stand_in, name in zip(stand_ins, names, strict=True):
        content = content.replace(stand_in.encode(), name)
    return io.BytesIO(content)


def listed(file: io.BytesIO) -> dict[str, str]:
    return {entry.path: entry.refused for entry in Archive(file).entries()}


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        ("utf-8", ["Gebühren/Öffnung.md", "日本.txt"]), ("cp437", ["Gebühren.md", "Öffnung.md", "café.txt"]),
        ("cp437", ["Gebühr.md"]), ("cp437", ["Größe/Übersicht.txt"]), ("cp1252", ["Gebühren.md", "Öffnungszeiten.md"]),
        ("gbk", ["帮助/退款说明.md", "常见问题.txt"]), ("cp932", ["返金のご案内.md", "サポート/ファイル.txt"]),
        ("cp932", ["ファイル.txt"]), ("big5", ["退款說明.md", "常見問題集.txt"]),
        ("cp850", ["Informação.md", "Ligação à rede.md"]), ("cp850", ["São Paulo.md"]),
        ("cp850", ["Política de devolución.md", "Ánimo.md"]), ("cp850", ["Århus.md", "Ærø.md", "Øl.md"]),
        ("cp1252", ["Informação.md"]), ("cp1252", ["Ærø.md", "Århus.md"]), ("cp1250", ["Příliš žluťoučký.md"]),
        ("cp1253", ["Επιστροφές.md"]),
        ("utf-8", ["می\u200cخواهم.md", "利用\u3000規約.md", "👩\u200d💻.md", "a\xa0b.md"]),
        ("cp949", ["환불 안내.md", "자주 묻는 질문.md"]),
        ("cp866", ["Возврат денег.md", "Доставка.txt"]), ("cp1251", ["Возврат денег.md", "Доставка.txt"]),
    ],
)  # fmt: skip
def test_names_in_any_encoding_are_read(codec: str, names: list[str]) -> None:
    file = packed(*(name.encode(codec) for name in names))
    assert listed(file) == dict.fromkeys(sorted(names), "")
    contents = {Archive(file).fetch(name).content for name in names}
    assert contents == {f"Text {number}.".encode() for number in range(len(names))}


@pytest.mark.parametrize(
    ("codec", "name"),
    [("cp852", "Příliš žluťoučký.md"), ("cp862", "שלום עולם.md"), ("cp737", "Επιστροφές.md"), ("cp1251", "Возврат.md")],
)
def test_a_name_whose_encoding_is_guessed_is_told(codec: str, name: str) -> None:
    """Old consoles had an encoding for each country, and a ZIP does not say which."""
    file = packed(name.encode(codec), b"plain.md")
    [guessed] = set(listed(file)) - {"plain.md"}
    [warning] = [found for found in read(Archive(file).fetch(guessed)) if isinstance(found, ReadWarning)]
    assert warning.code == "name_guessed" and repr(guessed) in warning.message
    assert not any(isinstance(found, ReadWarning) for found in read(Archive(file).fetch("plain.md")))


@pytest.mark.parametrize(("codec", "name"), [("utf-8", "Gebühren.md"), ("cp437", "Gebühren.md")])
def test_a_name_in_an_encoding_of_the_format_is_no_guess(codec: str, name: str) -> None:
    assert Archive(packed(name.encode(codec))).fetch(name).name_codec == ""


def test_backslashes_are_separators() -> None:
    file = packed(b"docs\\guide\\pay.md", b"docs\\", b"docs\\.hidden.md", b"read me.md")
    assert listed(file) == {"docs/guide/pay.md": "", "read me.md": ""}
    assert Archive(file, prefix="a.zip").fetch("a.zip/docs/guide/pay.md").content == b"Text 0."


def test_a_name_that_climbs_within_the_archive_stays_there() -> None:
    file = packed(b"docs/../pay.md", b"docs\\a\\..\\b.md")
    assert listed(file) == {"pay.md": "", "docs/b.md": ""}
    assert Archive(file).fetch("pay.md").content == b"Text 0."


def test_names_with_a_colon_or_dots_are_no_attack() -> None:
    names = ["Q: How do I pay.md", "a..b.md", "v1...2.md", "12:30.md", "...md", "./docs/a.md"]
    assert listed(packed(*map(str.encode, names))) == {name: "" for name in names if name != "...md"}


@pytest.mark.parametrize(
    "name",
    ["../a.md", "docs/../../a.md", "..\\a.md", "docs\\..\\..\\a.md", "\\\\server\\share\\a.md"],
)  # fmt: skip
def test_names_that_lead_out_are_refused(name: str) -> None:
    file = packed(name.encode())
    [(path, refused)] = listed(file).items()
    assert (path, refused) == (name.replace("\\", "/"), "a path that leads out of the archive")
    with pytest.raises(Unreadable, match="leads out"):
        Archive(file).fetch(path)


def test_a_whole_path_is_read_as_one_within_the_archive() -> None:
    file = packed(b"/docs/a.md", b"\\docs\\b.md", b"C:\\docs\\c.md", b"d:/e.md", b"a:b.md")
    assert listed(file) == {"docs/a.md": "", "docs/b.md": "", "docs/c.md": "", "e.md": "", "a:b.md": ""}
    assert Archive(file).fetch("docs/b.md").content == b"Text 1."


@pytest.mark.parametrize(
    "names",
    [("guide.md", "guide.mdx"), ("x.htm", "x.html"), ("a.md", "a.md#b.md"), ("page", "page.md"), ("c.md", "c.md#.txt")],
)
def test_names_of_which_one_begins_another_are_different_files(names: tuple[str, str]) -> None:
    assert set(listed(packed(*map(str.encode, names))).values()) == {""}


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nexec unzip\n"])
def test_a_name_that_is_marked_as_utf8_and_is_none_is_read_as_it_was_meant(before: bytes, tmp_path: Path) -> None:
    names = ["Gebühren.md", "Öffnung.md", "plain.md"]
    marked = packed(*(name.encode("cp437") for name in names)).getvalue()
    with zipfile.ZipFile(io.BytesIO(marked)) as archive:
        members = [(member.header_offset, index) for index, member in enumerate(archive.infolist())]
    content = bytearray(marked)
    for offset, _ in members:
        content[offset + 7] |= 8
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 9] |= 8
        at += 4
    (tmp_path / "a.zip").write_bytes(before + content)
    archive_of_path = Archive(tmp_path / "a.zip")
    assert {entry.path: entry.refused for entry in archive_of_path.entries()} == dict.fromkeys(sorted(names), "")
    assert {archive_of_path.fetch(name).content for name in names} == {b"Text 0.", b"Text 1.", b"Text 2."}


def test_an_archive_of_too_many_members_is_refused_before_they_are_read(settings: Any) -> None:
    settings.FABRA_ARCHIVE_MAX_FILES = 3
    with pytest.raises(SourceUnavailable, match="more files than the limit, 3"):
        listed(packed(*(f"{number}.md".encode() for number in range(10))))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18, b"PK\x06\x07" + b"\0" * 60])
def test_what_is_no_archive_is_called_broken(content: bytes) -> None:
    with pytest.raises(SourceUnavailable, match="broken"):
        listed(io.BytesIO(content))


def test_an_attack_in_an_east_asian_encoding_is_refused() -> None:
    assert set(listed(packed("..\\退款说明.md".encode("gbk"), "常见问题.md".encode("gbk"))).values()) == {
        "a path that leads out of the archive", "",
    }  # fmt: skip


def test_two_members_of_one_name_are_named() -> None:
    refused = listed(packed(b"docs/pay.md", b"docs\\pay.md"))
    assert refused.pop("docs/pay.md") == ""
    assert list(refused.values()) == ["another file of the archive has this name"]


def test_the_unicode_name_of_info_zip_is_used(tmp_path: Path) -> None:
    raw, name = b"_.md", "ждать.md".encode()
    info = zipfile.ZipInfo(raw.decode())
    extra = struct.pack("<BL", 1, zlib.crc32(raw)) + name
    info.extra = struct.pack("<HH", 0x7075, len(extra)) + extra
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "Text.")
    [entry] = Folder(tmp_path).entries()
    assert (entry.path, entry.refused) == ("a.zip/ждать.md", "")
    assert Folder(tmp_path).fetch(entry.path).content == b"Text."


def test_archives_are_known_by_a_suffix_in_any_case_and_in_folders_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "old.zip").mkdir()
    for path in ("HELP.ZIP", "old.zip/in.Zip"):
        (tmp_path / path).write_bytes(packed(b"docs/pay.md").getvalue())
    (tmp_path / "old.zip" / "pay.md").write_bytes(b"Text 0.")
    paths = [entry.path for entry in Folder(tmp_path).entries()]
    assert paths == ["HELP.ZIP/docs/pay.md", "old.zip/in.Zip/docs/pay.md", "old.zip/pay.md"]
    assert {Folder(tmp_path).fetch(path).content for path in paths} == {b"Text 0."}
