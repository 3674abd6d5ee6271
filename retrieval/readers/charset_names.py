"""The names of encodings, as the WHATWG's Encoding Standard defines them for browsers."""

import codecs

import webencodings

WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_SUPERSETS = {"gbk": "gb18030", "x-user-defined": "cp1252"}
EXTENDED = {"euc_jp": "euc_jis_2004"}
"""Codecs that read what another one does not, but not all that it reads: the circled digits of Japanese PCs."""
_UNSAFE = ("utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "unicode-escape", "raw-unicode-escape")


def codec_of(label: str) -> str | None:
    """Return the Python codec for the name of an encoding as browsers understand it; None for an unknown name."""
    found = webencodings.lookup(label)
    if found is None:
        try:
            codec = codecs.lookup(label.strip())
        except (LookupError, ValueError):
            return None
        if codec.name in _UNSAFE or not codec._is_text_encoding:
            return None
        found = webencodings.lookup(codec.name)
        if found is None:
            return codec.name
    name = str(found.codec_info.name)
    if name == "replacement":
        return None  # encodings that browsers refuse to decode
    return _SUPERSETS.get(name, name)


def shown(codec: str) -> str:
    """Return the name of a codec that people know."""
    found = webencodings.lookup(codec)
    return found.name if found else codec
