"""Read files from a zip archive, without unpacking to disk and with one file in memory at a time."""

import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO

from django.conf import settings

from retrieval.readers import FetchedFile, Unreadable, is_readable, unread_reason
from retrieval.sources.entries import Entry, SourceUnavailable
from retrieval.sources.member_names import leads_out, member_names
from retrieval.sources.zip_directory import TooManyMembers, prepared

_MAX_RATIO = 200
_RATIO_MATTERS_FROM_BYTES = 1 << 20
_ENCRYPTED = 1
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of controls, surrogates, and separators of lines and paragraphs."""
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of writing, and so makes one name look like another."""


class Archive:
    """The members of a zip archive, as a source."""

    is_partial = False

    def __init__(self, file: Path | IO[bytes], prefix: str = "") -> None:
        self.location = str(file.resolve()) if isinstance(file, Path) else ""
        self.prefix = f"{prefix}/" if prefix else ""
        self._file = file
        self._members: dict[str, zipfile.ZipInfo] | None = None
        self._doubles: set[str] = set()
        """The members whose names others have too; each was given a number."""
        self._codecs: dict[str, str] = {}
        """The encodings that were guessed for names, by the names."""

    def entries(self) -> Iterator[Entry]:
        """Yield the readable members in order; raise SourceUnavailable if the archive is broken or too large."""
        with self._opened() as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > settings.FABRA_ARCHIVE_MAX_FILES:
                raise SourceUnavailable(
                    f"The archive has {len(members):,} files, and the limit is {settings.FABRA_ARCHIVE_MAX_FILES:,}."
                )
            total = sum(member.file_size for member in members)
            if total > settings.FABRA_ARCHIVE_MAX_BYTES:
                raise SourceUnavailable(
                    f"The archive has {total:,} bytes when unpacked, and the limit is "
                    f"{settings.FABRA_ARCHIVE_MAX_BYTES:,}."
                )
            for path, member in self._named(archive).items():
                parts = path.split("/")
                if any(part.startswith(".") and part.strip(".") for part in parts) or parts[0] == "__MACOSX":
                    continue
                if path in self._doubles:
                    yield Entry(path=self.prefix + path, refused="another file of the archive has this name")
                elif is_readable(path) or path.lower().endswith(".zip"):
                    yield Entry(path=self.prefix + path, refused=_refused(path, member))
                elif reason := unread_reason(path):
                    yield Entry(path=self.prefix + path, refused=reason)

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        name = path.removeprefix(self.prefix)
        try:
            with self._opened() as archive:
                member = self._named(archive)[name]
                if reason := _refused(name, member):
                    raise Unreadable(reason)
                with archive.open(member) as stream:
                    content = stream.read(settings.FABRA_FILE_MAX_BYTES + 1)
        except (
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            OSError,
        ) as error:
            raise Unreadable(f"the archive is broken here ({type(error).__name__})") from None
        if len(content) > settings.FABRA_FILE_MAX_BYTES:
            raise Unreadable(f"more bytes than the limit, {settings.FABRA_FILE_MAX_BYTES:,}")
        return FetchedFile(path=path, content=content, name_codec=self._codecs.get(name, ""))

    def _named(self, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """Return the files by their names, with slashes, in order; a name that occurs again gets a number."""
        if self._members is None:
            named: dict[str, zipfile.ZipInfo] = {}
            members = archive.infolist()
            for (said, codec), member in zip(member_names(members), members, strict=True):
                name = _shown(said)
                path, number = name, 1
                while path in named:
                    number += 1
                    path = f"{name}#{number}"
                if not name.endswith("/"):
                    named[path] = member
                    self._codecs.update({path: codec} if codec else {})
                    self._doubles.update([path] if number > 1 else [])
            self._members = dict(sorted(named.items(), key=itemgetter(0)))
        return self._members

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        """Open the archive; raise SourceUnavailable if it is broken, or has too many members to be listed."""
        most = settings.FABRA_ARCHIVE_MAX_FILES
        with ExitStack() as stack:
            try:
                stream = self._file
                if isinstance(stream, Path):
                    stream = stack.enter_context(stream.open("rb"))
                archive = stack.enter_context(zipfile.ZipFile(prepared(stream, 2 * most)))  # folders are members too
            except TooManyMembers:
                raise SourceUnavailable(f"The archive has more files than the limit, {most:,}.") from None
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise SourceUnavailable(f"The archive is broken ({type(error).__name__}).") from None
            yield archive


def _refused(name: str, member: zipfile.ZipInfo) -> str:
    if leads_out(name):
        return "a path that leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if name.lower().endswith(".zip"):
        return "an archive inside of an archive"
    if member.file_size > settings.FABRA_FILE_MAX_BYTES:
        return f"{member.file_size:,} bytes, and the limit is {settings.FABRA_FILE_MAX_BYTES:,}"
    ratio = member.file_size / max(member.compress_size, 1)
    if member.file_size > _RATIO_MATTERS_FROM_BYTES and ratio > _MAX_RATIO:
        return f"packed {ratio:,.0f} to 1, as no document is"
    return ""


def _shown(name: str) -> str:
    """Return a name without controls; joiners and wide spaces belong to names in Persian, Japanese or emoji."""
    return "".join("�" if unicodedata.category(char) in _CONTROLS or char in _BIDI else char for char in name)[:1000]
