"""Decode the names of a ZIP's members, which programs write in many ways, and tell names that lead out of it.

The format knows CP437 and UTF-8; Windows in Russia, China or Japan writes its own encoding without saying so, and some
programs write backslashes. None of that is an attack: it is read as it was meant.
"""

import posixpath
import re
import struct
import unicodedata
import zipfile
import zlib

from retrieval.readers.charset_guess import guess

_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_EAST_ASIAN = ("gb18030", "big5hkscs", "cp932", "cp949", "euc_jp", "euc_kr")
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


def member_names(members: list[zipfile.ZipInfo]) -> list[tuple[str, str]]:
    """Return the name of each member, with slashes, as the program that packed it meant it.

    With it comes the encoding that was guessed for it, "" for a name whose encoding is known.
    """
    raw = [None if member.flag_bits & _UTF8 else _raw(member) for member in members]
    foreign = [name for name in raw if name is not None and not name.isascii()]
    codec = _codec(foreign)
    is_known = codec == "utf-8" or (codec == "cp437" and _is_mostly_plain(b"\n".join(foreign).decode(codec)))
    names = []
    for member, name in zip(members, raw, strict=True):
        said = member.filename if name is None else _unicode_path(member, name)
        is_guessed = not said and name is not None and not name.isascii() and not is_known
        decoded = said or (name or b"").decode(codec, "replace")
        path = decoded.replace("\\", "/")
        if drive := _DRIVE.match(path):
            path = path[drive.end() :]
        if path.startswith("/") and not path.startswith("//"):  # packed with its whole path; nothing is unpacked there
            path = path[1:]
        path = posixpath.normpath(path) if "/../" in path and not leads_out(path) else path
        names.append((path, codec if is_guessed else ""))
    return names


def leads_out(name: str) -> bool:
    """Return whether a name, with slashes, leads out of the archive: it is absolute, or climbs."""
    return name.startswith("/") or posixpath.normpath(name).split("/")[0] == ".."


def _raw(member: zipfile.ZipInfo) -> bytes | None:
    """Return the bytes of a name that is not marked as UTF-8; Python has decoded them as CP437."""
    try:
        return member.filename.encode("cp437")
    except UnicodeEncodeError:
        return None


def _unicode_path(member: zipfile.ZipInfo, raw: bytes) -> str:
    """Return the name in the extra field that Info-ZIP writes, if it belongs to this name; else ""."""
    extra = member.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack("<L", field[1:5])
            if checksum == zlib.crc32(raw):
                return field[5:].decode("utf-8", "replace")
    return ""


def _codec(names: list[bytes]) -> str:
    """Return the encoding of an archive's names, all of which one program wrote."""
    text = b"\n".join(names)
    try:
        text.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        pass
    guessed = guess(text)
    if guessed in _EAST_ASIAN and _is_plausible(text, guessed):
        return guessed
    if _is_latin(text, "cp437"):
        return "cp437"
    is_doubtful = guessed in _EAST_ASIAN or not _is_written(text.decode(guessed, "replace"))
    # Windows in Western Europe and South America writes the encoding of its old consoles.
    is_cp850 = is_doubtful and _is_latin(text, "cp850") and _is_written(text.decode("cp850"))
    return "cp850" if is_cp850 else guessed


def _is_latin(text: bytes, codec: str) -> bool:
    return all(unicodedata.name(char, "").startswith("LATIN ") for char in text.decode(codec) if char > "\x7f")


def _is_written(text: str) -> bool:
    """Return whether all that is beyond ASCII are letters, and its capitals stand where capitals do."""
    return all(char.isalpha() for char in text if char > "\x7f") and not any(
        one.islower() or (one.isalpha() and three.islower())
        for one, two, three in zip(text, text[1:], text[2:], strict=False)
        if two.isupper() and two > "\x7f"
    )


def _is_mostly_plain(text: str) -> bool:
    """Return whether a text in Latin letters looks like one; Hebrew of a console, read as Latin, has only others."""
    return _is_written(text) and 2 * sum(char > "\x7f" for char in text) <= sum(map(str.isalpha, text))


def _is_plausible(text: bytes, codec: str) -> bool:
    """Return whether the names consist of letters of East Asia, at least two of which follow each other."""
    try:
        decoded = text.decode(codec)
    except UnicodeDecodeError:
        return False
    foreign = [char for char in decoded if char > "\x7f"]
    letters = sum(unicodedata.category(char) in ("Lo", "Lm") for char in foreign)
    return letters >= 0.8 * len(foreign) and bool(re.search(r"[^\x00-\x7f]{2}", decoded))
