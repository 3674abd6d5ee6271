"""Decode text as browsers do: by its byte order mark, the server's charset, the page's own, and last by its content.

Names of encodings mean what they mean to browsers: `gb2312` is GB18030, `iso-8859-1` is windows-1252.
"""

import codecs
import re
from itertools import islice

from retrieval.readers.charset_guess import (
    BINARY_SHARE,
    CONTROL,
    SAMPLE_BYTES,
    beyond_ascii,
    guess,
    has_escapes,
    is_damaged_utf8,
    is_utf8,
    lost_in,
    standard_utf8,
    western,
    wide_codec,
)
from retrieval.readers.charset_names import EXTENDED, WIDE, codec_of, shown
from retrieval.readers.documents import FetchedFile, ReadWarning, Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_PRESCAN_BYTES = 65_536
"""Where the declaration of a page is looked for: browsers read on to the end of the head."""
_NAMED = 5
_THREE_BYTES = b"\x8f"
"""What begins such a sign in EUC-JP."""
_ATTRIBUTE = re.compile(r"(?<![a-z-])([a-z-]+)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,>/]+)")
_CARRIAGE_RETURN = re.compile(r"\r(?!\n)")
"""The line break of old Macs, at which nothing else would end a line."""
_XML = re.compile(r"\A\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)")


def decode(file: FetchedFile, *, is_html: bool = False) -> tuple[str, list[ReadWarning]]:
    """Return a file's text, and warnings about what was guessed or could not be decoded; raise Unreadable for no text.

    A byte that cannot be decoded becomes U+FFFD. `is_html` heeds the declaration inside of the page.
    """
    content, warnings = standard_utf8(file.content), list[ReadWarning]()
    for mark, codec in _MARKS:
        # A UTF-16 text could begin with NUL, but never has: FF FE 00 00 is the mark of UTF-32.
        if content.startswith(mark):
            return _finished(content[len(mark) :], codec, warnings)
    declared = _declared(file, warnings, is_html=is_html)
    wide = wide_codec(content) if declared is None or declared in WIDE or content.count(0) > len(content) / 10 else None
    if wide and wide != declared:
        _warn(warnings, "encoding_guessed", f"without a byte order mark; its content is {shown(wide)}")
    if declared and not wide:
        return _finished(content, _confirmed(content, declared, warnings), warnings)
    return _finished(content, wide or _guessed(content, warnings), warnings)


def _declared(file: FetchedFile, warnings: list[ReadWarning], *, is_html: bool) -> str | None:
    """Return the codec that the server names, else the one that the page names."""
    header = _CHARSET.search(file.content_type.lower())
    labels = [(header[1], "the server")] if header else []
    if is_html:
        head = file.content[:_PRESCAN_BYTES].decode("latin-1").lower()
        labels += [(label, "the page") for label in _labels_of_page(head)]
    for label, who in labels:
        codec = codec_of(label)
        if codec is None:
            _warn(warnings, "unknown_charset", f"{who} names the encoding {label[:40]!r}, which no browser knows")
        elif who == "the page" and codec in WIDE:
            return "utf-8"  # a page whose declaration could be read is not wide
        else:
            return codec
    return None


def _labels_of_page(head: str) -> list[str]:
    if found := _XML.match(head):
        return [found[1]]
    parts = head.split("<!--")
    visible = parts[0] + "".join(part.partition("-->")[2] for part in parts[1:])
    labels = []
    for tag in visible.split("<meta")[1:]:
        attributes = {name: value.strip("\"'") for name, value in _ATTRIBUTE.findall(tag.partition(">")[0])}
        if "charset" in attributes:
            labels.append(attributes["charset"].strip())
        elif attributes.get("http-equiv") == "content-type":
            labels += _CHARSET.findall(attributes.get("content", ""))
    return labels


def _confirmed(content: bytes, declared: str, warnings: list[ReadWarning]) -> str:
    """Return the declared codec, or another where the content shows that the declaration is wrong."""
    text = content.decode(declared, "replace")
    lost = text.count("\ufffd")
    is_narrow = len(text) == len(content) and declared != "utf-8" and not content.isascii()
    if (is_narrow or declared in WIDE) and is_utf8(content):
        # Of two bytes that are valid UTF-8, one would be a sign such as ¤ or §: no text in a narrow encoding is. The
        # spaces and line breaks of a wide one have NUL bytes, by which it would have been known.
        _warn(warnings, "wrong_charset", f"declared as {shown(declared)}, but its content is UTF-8")
        return "utf-8"
    if not lost:
        return declared
    extended = EXTENDED.get(declared)
    # A sign of three bytes is another one in each of the two: one that is lost is told, a wrong one is not.
    if extended and _THREE_BYTES not in content and "\ufffd" not in content.decode(extended, "replace"):
        return extended
    other = "utf-8" if is_utf8(content) else guess(content)
    if lost > beyond_ascii(text) and "\ufffd" not in content.decode(other, "replace"):
        _warn(warnings, "wrong_charset", f"declared as {shown(declared)}, which it is not; read as {shown(other)}")
        return other
    return declared


def _guessed(content: bytes, warnings: list[ReadWarning]) -> str:
    """Return the codec that the content shows; raise Unreadable if it is no text in any."""
    if not has_escapes(content):
        if is_utf8(content):
            return "utf-8"
        sample = content[:SAMPLE_BYTES]
        if is_damaged_utf8(sample) and (sample == content or is_damaged_utf8(content)):
            return "utf-8"
    codec = guess(content)
    codec = western(content) if codec == "cp1252" else codec
    text = content.decode(codec, "replace")
    noise = lost_in(content, text, codec) + len(CONTROL.findall(text)) + text.count("\x00")
    if noise > BINARY_SHARE * len(text):
        raise Unreadable("binary, or text in no known encoding")
    words = [word[:30] for word in re.findall(r"\w+", text[:SAMPLE_BYTES]) if not word.isascii()][:3]
    such_as = f": {', '.join(words)}" if words else ""
    _warn(warnings, "encoding_guessed", f"not UTF-8, and nothing names its encoding; read as {shown(codec)}{such_as}")
    return codec


def _finished(content: bytes, codec: str, warnings: list[ReadWarning]) -> tuple[str, list[ReadWarning]]:
    text = content.decode(codec, "replace").removeprefix("\ufeff").rstrip("\x00")
    if lost := lost_in(content, text, codec):
        if lost > len(text) / 2:
            raise Unreadable(f"binary, or no {shown(codec)}")
        where = f"in {lost:,} places, first {_lines(text)}" if lost > 1 else _lines(text)
        _warn(warnings, "undecodable_bytes", f"what is no {shown(codec)} became � {where}")
    if nuls := text.count("\x00"):
        if nuls > BINARY_SHARE * len(text):
            raise Unreadable("binary, not text")
        _warn(warnings, "nul_characters", f"{nuls:,} NUL characters were left out")
        text = text.replace("\x00", "")
    return _CARRIAGE_RETURN.sub("\n", text), warnings


def _lines(text: str) -> str:
    """Return the lines of the first few places that could not be decoded."""
    lines, offset, line = list[int](), 0, 1
    for found in islice(re.finditer("\ufffd", text), _NAMED):
        line += text.count("\n", offset, found.start())
        offset = found.start()
        lines.append(line)
    numbers = ", ".join(f"{number:,}" for number in dict.fromkeys(lines))
    return f"in line{'s' if len(set(lines)) > 1 else ''} {numbers}"


def _warn(warnings: list[ReadWarning], code: str, message: str) -> None:
    warnings.append(ReadWarning(code=code, message=f"{message[0].upper()}{message[1:]}."))
