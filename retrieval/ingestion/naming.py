"""Choose the ids of a source's files: a file keeps the id that it has, and no two files of a source share one.

A file that is one document gives it its id; of a table the id begins those of its rows. The ids are kept with the
files (`SourceFile.name`), so that none depends on how many workers read the files, or on which other files are there
later.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from common.locks import held
from common.validation import KEY_MAX_CHARS
from retrieval.ingestion.prune import gone_files
from retrieval.models import IngestionFile, IngestionRun, SourceFile
from retrieval.models.ingestion import is_table
from retrieval.readers import SUFFIXES

_WAIT_S = 600.0
_AT_ONCE = 1000
_DIGEST_CHARS = 16


def name_files(run: IngestionRun) -> None:
    """Give each file of the run that has no id yet its own, in the order of the listing.

    If the run prunes, a new file inherits the id of a file that is gone and that differs from it only in the suffix,
    so that converted pages keep their ids.
    """
    prefix = str(run.options.get("id_prefix", ""))
    with held(f"names {run.index_id} {run.source}", wait_s=_WAIT_S):
        files = run.files.exclude(state__in=[IngestionFile.State.FAILED, IngestionFile.State.PRUNED]).order_by("pk")
        paths = list(files.values_list("path", flat=True))
        own = SourceFile.objects.filter(index=run.index_id, source=run.source)
        known = dict(own.values_list("path", "name"))
        missing = [SourceFile(index=run.index, source=run.source, path=path) for path in paths if path not in known]
        if run.options.get("prune"):
            heirs = _heirs(run, paths, known, prefix)
            missing = [file for file in missing if file.path not in heirs]
            known |= {path: known.pop(gone) for path, gone in heirs.items()}
        names = choose_names(paths, known, prefix)
        for file in missing:
            file.name = names[file.path]
        SourceFile.objects.bulk_create(missing, ignore_conflicts=True, batch_size=_AT_ONCE)
        unnamed = list(own.filter(name="", path__in=names)) if len(missing) < len(names) else []
        for file in unnamed:
            file.name = names[file.path]
        SourceFile.objects.bulk_update(unnamed, ["name"], batch_size=_AT_ONCE)


def choose_names(paths: Iterable[str], known: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    """Return the ids of the paths that have none in `known`, which maps all paths of the source to their ids."""
    taken = {(is_table(path), name) for path, name in known.items() if name}
    chosen: dict[str, str] = {}
    for path in paths:
        if known.get(path) or path in chosen:
            continue
        kind = is_table(path)
        chosen[path] = next(name for name in candidates(path, prefix) if (kind, name) not in taken)
        taken.add((kind, chosen[path]))
    return chosen


def candidates(path: str, prefix: str = "") -> Iterator[str]:
    """Yield the ids that a file or page may have, the shortest first; the last is of this path alone."""
    if path.startswith(("http://", "https://")):
        parts = urlsplit(path)
        page, query = parts.path.strip("/") or "index", f"?{parts.query}" if parts.query else ""
        found = [f"{_stem(page)}{query}", f"{page}{query}", f"{parts.path.lstrip('/')}{query}", path]
    else:
        found = [_stem(path), path]
    digest = hashlib.sha256(path.encode()).hexdigest()[:_DIGEST_CHARS]
    for name in dict.fromkeys(prefix + name for name in found if name.strip()):
        is_long = len(name) > KEY_MAX_CHARS
        yield f"{name[: KEY_MAX_CHARS - _DIGEST_CHARS - 1]}~{digest}" if is_long else name
    yield f"{(prefix + path)[: KEY_MAX_CHARS - _DIGEST_CHARS - 1]}~{digest}"


def _stem(path: str) -> str:
    """Return the path without the suffix of a format; the end of `v1.3` is none."""
    is_format = PurePosixPath(path).suffix.lower() in SUFFIXES
    return PurePosixPath(path).with_suffix("").as_posix() if is_format else path


def _heirs(run: IngestionRun, paths: Collection[str], known: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Rename the rows of files that are gone to the new files that inherit their ids; return new path to old path."""
    gone = {(is_table(file.path), file.name): file for file in gone_files(run).exclude(name="")}
    heirs: dict[str, str] = {}
    for path in paths if gone else ():
        old = None if path in known else gone.pop((is_table(path), next(candidates(path, prefix))), None)
        if old is not None:
            SourceFile.objects.filter(pk=old.pk).update(path=path, fingerprint="", validators={}, warnings=[])
            heirs[path] = old.path
    return heirs
