"""Know what most pages of a source begin and end with, and have the pages read again that were read without knowing it.

The ends of each page are stored with its file, as the page has them. So nothing is counted that could drift: a page
that changes or goes takes its share with it, and what fewer pages have comes back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from django.db import transaction
from django.db.models import QuerySet

from retrieval.ingestion.prune import gone_files
from retrieval.models import IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.readers.repeated import MIN_PAGES, MIN_SHARE, Ends

_AT_ONCE = 1000
_READ = (IngestionFile.State.INDEXED, IngestionFile.State.UNCHANGED)


def files_of(run: IngestionRun) -> QuerySet[SourceFile]:
    return SourceFile.objects.filter(index=run.index_id, source=run.source)


def staying_files(run: IngestionRun) -> QuerySet[SourceFile]:
    """Return the files of a run's source without those that it is going to prune, which keep nothing for the others."""
    files = files_of(run)
    return files.exclude(pk__in=gone_files(run).values("pk")) if run.options.get("prune") else files


def repeated_ends(files: QuerySet[SourceFile], *, pages: int | None = None) -> dict[str, int]:
    """Return the digests of what most pages begin or end with, each with the page that keeps it.

    That is the first one that has it and is found as the source has it: what was withdrawn, deleted or changed by other
    means keeps nothing for the others. With `pages` only so many of them are compared.
    """
    common = _common_in_a_part(files, pages)
    counts, keepers, total = Counter[str](), dict[str, int](), 0
    served = _served(files, pages) if common else set()
    for pk, ends in _ends(files, pages):
        total += 1
        for digest in common & ends.digests:
            counts[digest] += 1
            if keepers.setdefault(digest, pk) not in served and pk in served:
                keepers[digest] = pk
    enough = max(MIN_PAGES, MIN_SHARE * total)
    return {digest: keepers[digest] for digest, count in counts.items() if count >= enough}


def _served(files: QuerySet[SourceFile], pages: int | None) -> set[int]:
    """Return the pages whose document is served as the source has it."""
    compared = files.exclude(ends={}).order_by("pk").values("pk")[:pages]
    return set(SourceDocument.objects.as_served().filter(file__in=compared).values_list("file", flat=True))


def _common_in_a_part(files: QuerySet[SourceFile], pages: int | None) -> set[str]:
    """Return all that may be repeated: what half of all pages have, half of the pages of some part have, too.

    So the digests of all pages need not be counted at once, which are millions where a source is large.
    """
    common = set[str]()
    rows = _ends(files, pages)
    while part := [ends.digests for _, ends in islice(rows, _AT_ONCE)]:
        counts = Counter(chain.from_iterable(part))
        common |= {digest for digest, count in counts.items() if count >= MIN_SHARE * len(part)}
    return common


def repeated_elsewhere(repeated: Mapping[str, int], page: int | None) -> list[str]:
    """Return the digests that a page is read without: not those which it keeps."""
    return sorted(digest for digest, keeper in repeated.items() if keeper != page)


def reread_pages(run: IngestionRun) -> bool:
    """Have the pages of a run read again whose text is another one now that all pages are known; return whether any is.

    This is done once for a run, so that it ends. Pages that are not in the run wait until they are read anyway.
    """
    if run.reread is not None:
        return False
    repeated = repeated_ends(staying_files(run))
    stale = [pk for pk, ends in _ends(files_of(run)) if not ends.is_read_without(repeated_elsewhere(repeated, pk))]
    with transaction.atomic():
        run.reread = sum(_reopen(run, stale[start : start + _AT_ONCE]) for start in range(0, len(stale), _AT_ONCE))
        run.save(update_fields=["reread"])
    return run.reread > 0


def count_shortened(run: IngestionRun) -> int:
    """Return how many pages of a run's source are without what other pages begin or end with, too."""
    return files_of(run).exclude(ends={}).exclude(ends__left_out=[0, 0]).count()


def _reopen(run: IngestionRun, pks: list[int]) -> int:
    """Have the workers take these files again, and read them although they have not changed; return their number."""
    files = SourceFile.objects.filter(pk__in=pks)
    read = run.files.filter(path__in=files.values("path"), state__in=_READ)
    files.filter(path__in=read.values("path")).update(fingerprint="")
    return read.update(state=IngestionFile.State.WAITING, documents=0, chunks=0, warnings=[], finished_at=None)


def _ends(files: QuerySet[SourceFile], pages: int | None = None) -> Iterator[tuple[int, Ends]]:
    rows = files.exclude(ends={}).order_by("pk").values_list("pk", "ends")[:pages]
    for pk, ends in rows.iterator(_AT_ONCE):
        yield pk, Ends(**ends)
