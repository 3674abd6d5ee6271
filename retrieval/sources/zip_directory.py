"""Look at the directory of a ZIP before Python reads it: how many members it has, and which names are no UTF-8.

Python makes an object of each member, however many there are, and refuses the whole archive for one name that is marked
as UTF-8 and is none.
"""

import io
import os
import struct
from typing import IO

_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _COMMENT_MAX_BYTES = 22, 65_535
_MEMBER, _MEMBER_BYTES = b"PK\x01\x02", 46
_UTF8_BIT = 0x08
"""In the second byte of the flags."""
_DIRECTORY_MAX_BYTES = 64 << 20


class TooManyMembers(Exception):
    """The directory has more members than the limit."""


def prepared(file: IO[bytes], max_members: int) -> IO[bytes]:
    """Return the file as Python can read it: names that are no UTF-8 are not marked so; raise TooManyMembers.

    A file without a directory where one belongs is returned as it is: Python says what is wrong with it.
    """
    end, size, told_start = _end(file)
    start = end - size
    if size > _DIRECTORY_MAX_BYTES:
        raise TooManyMembers
    file.seek(start)
    directory = file.read(size)
    flags: dict[int, int] = {}
    offsets: list[tuple[int, int]] = []
    at = members = 0
    while directory.startswith(_MEMBER, at) and at + _MEMBER_BYTES <= len(directory):
        members += 1
        if members > max_members:
            raise TooManyMembers
        name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<3H", directory, at + 28)
        name = directory[at + _MEMBER_BYTES : at + _MEMBER_BYTES + name_bytes]
        if directory[at + 9] & _UTF8_BIT and not _is_utf8(name):
            flags[start + at + 9] = directory[at + 9] & ~_UTF8_BIT
            offsets.append((struct.unpack_from("<L", directory, at + 42)[0], directory[at + 9] & ~_UTF8_BIT))
        at += _MEMBER_BYTES + name_bytes + extra_bytes + comment_bytes
    if not flags:
        file.seek(0)
        return file
    shift = start - told_start  # what stands before the archive, such as a program that unpacks it
    return _Patched(file, flags | {shift + offset + 7: flag for offset, flag in offsets})


class _Patched(io.RawIOBase, IO[bytes]):
    """A file some of whose bytes are read as others."""

    def __init__(self, file: IO[bytes], patches: dict[int, int]) -> None:
        self._file, self._patches = file, patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        start = self._file.tell()
        content = bytearray(self._file.read(-1 if size is None else size))
        for offset, value in self._patches.items():
            if start <= offset < start + len(content):
                content[offset - start] = value
        return bytes(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def _end(file: IO[bytes]) -> tuple[int, int, int]:
    """Return where the directory ends, its size, and the offset at which it says that it begins; zeros without one."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_BYTES - _COMMENT_MAX_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or at + _END_BYTES > len(tail):
        return 0, 0, 0
    size, told = struct.unpack_from("<2L", tail, at + 12)
    end = length - len(tail) + at
    if at >= 20 and tail.startswith(_LOCATOR_64, at - 20):
        end = max(0, end - 20 - 56)
        file.seek(end)
        record = file.read(56)
        if not record.startswith(_END_64) or len(record) < 56:
            return 0, 0, 0
        size, told = struct.unpack_from("<2Q", record, 40)
    return end, min(size, end), told


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
