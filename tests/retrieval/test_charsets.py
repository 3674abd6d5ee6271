"""Text is decoded as browsers do; what was guessed or could not be decoded is a warning."""

import os
from contextlib import suppress

import pytest

from retrieval.readers import FetchedFile, Unreadable
from retrieval.readers.charset_names import codec_of
from retrieval.readers.charsets import decode
from tests.cpu_limit import cpu_limit
from tests.retrieval.reading import read_all

GERMAN = "Die Öffnungszeiten über Ostern: Café geöffnet von 8 bis 16 Uhr. Gebühr 5 €.\n"
RUSSIAN = "Возврат денег занимает четырнадцать дней."
CHINESE = "王大妈的订单在七天内退款。镕字\n"
JAPANESE = "返金には十四日かかります。"


def decoded(content: bytes, content_type: str = "", *, is_html: bool = False) -> tuple[str, list[str]]:
    file = FetchedFile(path="a.txt", content=content, content_type=content_type)
    text, warnings = decode(file, is_html=is_html)
    return text, [warning.code for warning in warnings]


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("latin-1", "cp1252"), ("ISO-8859-1", "cp1252"), ("us-ascii", "cp1252"), ("gb2312", "gb18030"),
        ("GBK", "gb18030"), ("shift_jis", "cp932"), ("ks_c_5601-1987", "cp949"), ("tis-620", "cp874"),
        ("big5", "big5hkscs"), ("iso-8859-9", "cp1254"), ("cp437", "cp437"), ("utf8", "utf-8"), ("utf-7", None),
        ("rot13", None), ("idna", None), ("iso-2022-kr", None), ("x-user-defined", "cp1252"),
        ("euc-jp", "euc_jp"), ("klingon", None), ("a\0b", None),
    ],
)  # fmt: skip
def test_names_mean_what_they_mean_to_browsers(label: str, codec: str | None) -> None:
    assert codec_of(label) == codec


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, CHINESE, JAPANESE])
@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
        (b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"),
    ],
)  # fmt: skip
def test_a_byte_order_mark_comes_first(text: str, mark: bytes, codec: str) -> None:
    assert decoded(mark + text.encode(codec), "text/plain; charset=koi8-r") == (text, [])


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, CHINESE, f"{JAPANESE}\n{JAPANESE}"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_text_without_a_mark_is_told_by_its_content(text: str, codec: str) -> None:
    assert decoded(text.encode(codec)) == (text, ["encoding_guessed"])


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (GERMAN, "cp1252"), ("Prüfgebühr", "cp1252"), ("naïve café", "cp1252"), ("It’s 5 € – “cheap”.", "cp1252"),
        (RUSSIAN, "cp1251"), ("Доставка", "cp1251"), (RUSSIAN, "koi8-r"), (CHINESE, "gb18030"), (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"), (JAPANESE, "iso2022_jp"), ("退款需要十四天。請在網站上申請", "big5"),
        ("환불은 십사일이 걸립니다.", "cp949"), ("Příliš žluťoučký kůň úpěl ďábelské ódy.", "cp1250"),
        ("Zwrot pieniędzy trwa czternaście dni. Źródło łąka", "iso8859-2"), ("החזר כספי אורך ארבעה עשר ימים", "cp1255"),
        ("Gebühr über Öffnung, für die Größe", "mac_roman"), ("Gebühr über Öffnung", "cp850"),
        ("élève à l'école, déjà reçu", "mac_roman"), ("La señal está aquí", "cp850"),
        ("Η επιστροφή χρημάτων διαρκεί δεκατέσσερις ημέρες.", "cp1253"), ("การคืนเงินใช้เวลาสิบสี่วัน", "cp874"),
    ],
)  # fmt: skip
def test_what_names_no_encoding_and_is_not_utf8_is_guessed_and_said(text: str, codec: str) -> None:
    assert decoded(text.encode(codec)) == (text, ["encoding_guessed"])


def test_the_server_names_the_charset() -> None:
    for text, codec in [(RUSSIAN, "windows-1251"), ("Gebühr", "iso-8859-15"), (JAPANESE, "shift_jis"), ("é", "cp437")]:
        page = f"<meta charset=utf-8><p>{text}".encode(codec)
        (document,), warnings, _ = read_all("a", page, content_type=f'text/html; charset="{codec}"')
        assert (document.text, warnings) == (text, [])
    assert decoded("①髙".encode("cp932"), "text/plain;charset=Shift_JIS") == ("①髙", [])


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ("<meta charset=windows-1252>", "cp1252"), ("<META CHARSET='latin-1'/>", "cp1252"),
        ('<meta content="text/html; charset=gb2312" http-equiv=Content-Type>', "gb18030"),
        ('<?xml version="1.0" encoding="ISO-8859-15"?>', "iso8859-15"), ("<meta charset=utf-16>", "utf-8"),
        ("<!-- <meta charset=koi8-r> --><meta charset=cp1252>", "cp1252"),
        ('<meta name=description content="charset=koi8-r"><meta charset=cp1252>', "cp1252"),
    ],
)  # fmt: skip
def test_a_page_names_its_charset(head: str, codec: str) -> None:
    (document,), warnings, _ = read_all("a.html", f"{head}<p>Die Gebühr für alle".encode(codec))
    assert (document.text, warnings) == ("Die Gebühr für alle", [])


@pytest.mark.parametrize("path", ["a.txt", "a.md", "a.csv", "a.html", "a.mdx", "a.jsonl"])
def test_every_reader_of_text_says_what_was_guessed(path: str) -> None:
    text = {"a.csv": "text\nDie Gebühr für alle\n", "a.jsonl": '{"text": "Die Gebühr für alle"}'}
    (document,), warnings, _ = read_all(path, text.get(path, "Die Gebühr für alle").encode("cp1252"))
    assert document.text == "Die Gebühr für alle"
    assert [warning.message for warning in warnings] == [
        "Not UTF-8, and nothing names its encoding; read as windows-1252: Gebühr, für."
    ]


def test_a_page_may_name_its_charset_late() -> None:
    page = f"<html><head><style>{'p {} ' * 5000}</style><meta charset=windows-1251></head><p>{RUSSIAN}".encode("cp1251")
    (document,), warnings, _ = read_all("a.html", page)
    assert (document.text, warnings) == (RUSSIAN, [])


def test_a_wrong_declaration_is_told_by_the_content() -> None:
    assert decoded(GERMAN.encode(), "text/html; charset=iso-8859-1") == (GERMAN, ["wrong_charset"])
    assert decoded("<meta charset=utf-8>Die Gebühr für".encode("cp1252"), is_html=True) == (
        "<meta charset=utf-8>Die Gebühr für", ["wrong_charset"],
    )  # fmt: skip
    assert decoded(GERMAN.encode("utf-16-le"), "text/plain; charset=utf-8") == (GERMAN, ["encoding_guessed"])
    assert decoded(b"abc", "text/plain; charset=klingon") == ("abc", ["unknown_charset"])


def test_what_cannot_be_decoded_is_counted_and_nothing_is_cut() -> None:
    content = GERMAN.encode() + b"5 \x80, 7 \xff and more\n" + GERMAN.encode() + b"\x80"
    _, warnings, _ = read_all("a.txt", content)
    assert decoded(content)[0] == f"{GERMAN}5 �, 7 � and more\n{GERMAN}�"
    assert [w.message for w in warnings] == ["What is no utf-8 became � in 3 places, first in lines 2, 4."]
    assert decoded(GERMAN.encode()[:-4])[0].startswith("Die Öffnungszeiten")
    assert decoded(b"\xff\xfe" + GERMAN.encode("utf-16-le")[:-1])[1] == ["undecodable_bytes"]
    page = b"<meta charset=gb2312>" + CHINESE.encode("gb18030") + b"\xff\xff" + CHINESE.encode("gb18030")
    assert decoded(page, is_html=True) == (f"<meta charset=gb2312>{CHINESE}��{CHINESE}", ["undecodable_bytes"])
    assert decoded("A � of its own".encode()) == ("A � of its own", [])


def test_nul_padding_is_no_text_and_no_reason_to_refuse_it() -> None:
    assert decoded(b"A record of fixed length." + b"\0" * 300) == ("A record of fixed length.", [])
    assert decoded(b"one\0" + b"A long text. " * 100) == ("one" + "A long text. " * 100, ["nul_characters"])


@pytest.mark.parametrize(
    "content", [b"text\0more", b"\x89PNG\r\n\x1a\n\0\xff", bytes(range(1, 256)), b"\1\2\3\xff" * 99]
)
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable, match="binary"):
        decoded(content)


@pytest.mark.parametrize(
    "content", [b"\xff" * 3_000_000, b"<meta " * 500_000, b"<!--" * 700_000, os.urandom(3_000_000)]
)
def test_hostile_text_ends(content: bytes) -> None:
    with cpu_limit(), suppress(Unreadable):
        decoded(content, is_html=True)


@pytest.mark.parametrize(("path", "head"), [("a.txt", b""), ("a.html", b"<meta charset=utf-8>")])
def test_utf8_as_java_writes_it_is_no_chinese(path: str, head: bytes) -> None:
    emoji, half = b"\xed\xa0\xbd\xed\xb8\x80", b"\xed\xa0\xbd"
    (document,), warnings, _ = read_all(path, head + "Café ".encode() + emoji + b" and\xc0\x80 tea")
    assert (document.text, warnings) == ("Café 😀 and tea", [])
    (document,), warnings, _ = read_all(path, head + "Café ".encode() + half + b" and tea")
    assert (document.text, [w.code for w in warnings]) == ("Café � and tea", ["undecodable_bytes"])


def test_circled_digits_of_japanese_pcs_garble_nothing() -> None:
    text = "料金は①基本②追加です。㈱アクメ。"
    assert decoded(text.encode("euc_jis_2004"), "text/html; charset=EUC-JP") == (text, [])


def test_rare_characters_of_euc_jp_stay_what_they_are() -> None:
    text = "丂と鷗外。"  # of JIS X 0212, with three bytes
    assert decoded(text.encode("euc_jp"), "text/html; charset=EUC-JP") == (text, [])
    found, codes = decoded("①".encode("euc_jis_2004") + text.encode("euc_jp"), "text/html; charset=EUC-JP")
    assert text in found and codes == ["undecodable_bytes"], "beside the digits of PCs, too"


def test_a_text_that_is_declared_wide_and_is_not_is_read_as_it_is() -> None:
    assert decoded(GERMAN.encode(), "text/html; charset=utf-16") == (GERMAN, ["wrong_charset"])
    assert decoded(GERMAN.encode("utf-16-le"), "text/html; charset=utf-16") == (GERMAN, [])
