"""Open ingestion runs, list their files, and finish them; any worker can continue a run."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from common.errors import FabraError, InvalidInput
from common.locks import held
from common.text import storable
from common.validation import check_key, check_text, to_json
from retrieval.indexing.document_input import check_index_name
from retrieval.indexing.documents import ensure_index
from retrieval.ingestion.naming import name_files
from retrieval.ingestion.page_ends import reread_pages
from retrieval.ingestion.prune import prune
from retrieval.models import IngestionFile, IngestionRun, IngestionUpload
from retrieval.readers import Options
from retrieval.readers.tables import ROLES
from retrieval.search.filters import check_audience
from retrieval.sources import Entry, Source, SourceUnavailable, open_source
from retrieval.sources.uploads import Uploads

_ROWS = 1000
_PREFIX_MAX_CHARS = 100
_PATH_MAX_CHARS = 2000
_BEAT_S = 20.0
"""How often a run shows that somebody works on it, well within ORPHANED_AFTER."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run reads its files, and what it adds to each document; raise InvalidInput for invalid options."""

    mapping: dict[str, str] = field(default_factory=dict)
    base_url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    audience: list[str] = field(default_factory=list)
    prune: bool = False
    force: bool = False
    """Prune even if that deletes most of the source's documents."""
    allow_private: bool = False
    """Fetch from private addresses too."""
    id_prefix: str = ""
    """Put before the ids that are made of paths, to tell the documents of sources apart."""

    def __post_init__(self) -> None:
        unknown = set(self.mapping) - set(ROLES)
        if unknown:
            raise InvalidInput(f"mapping knows {', '.join(ROLES)}, not {', '.join(sorted(unknown))}.")
        to_json(self.metadata, "metadata")
        if len(check_text(self.id_prefix, "id_prefix")) > _PREFIX_MAX_CHARS:
            raise InvalidInput(f"id_prefix must have at most {_PREFIX_MAX_CHARS} characters.")
        if isinstance(check_audience(self.audience), str):
            raise InvalidInput("A document is for everyone when its audience is empty.")

    @property
    def reading(self) -> Options:
        return Options(mapping=self.mapping, base_url=self.base_url)


def open_run(
    index_name: str,
    location: str,
    options: RunOptions,
    *,
    source: str = "",
    started_by: str = "",
) -> IngestionRun:
    """Return the unfinished run over the same source with the same options, or a new run; end its other open runs.

    Raise InvalidInput for a location that does not exist.
    """
    check_index_name(index_name)
    name = check_key(source or open_source(location, allow_private=options.allow_private).location, "source")[:200]
    index, _ = ensure_index(index_name)
    same = IngestionRun.objects.unfinished().filter(index=index, source=name).exclude(location="")
    wanted = asdict(options)
    run = same.filter(location=location, options=wanted).first()
    with transaction.atomic():
        for other in same:
            if other == run:
                continue
            finish(other, error="Another run over the same source took its place.")
        return run or IngestionRun.objects.create(
            index=index, source=name, location=location, options=wanted, started_by=started_by[:200]
        )


def open_upload(
    index_name: str, files: Iterable[tuple[str, bytes]], options: RunOptions, *, source: str, started_by: str
) -> IngestionRun:
    """Return a new run over these files (name, content), which are stored until the run is finished."""
    check_index_name(index_name)
    index, _ = ensure_index(index_name)
    with transaction.atomic():
        run = IngestionRun.objects.create(
            index=index, source=check_key(source, "source")[:200], options=asdict(options), started_by=started_by[:200]
        )
        for name, content in files:
            IngestionUpload.objects.create(run=run, name=name[-255:], content=content)
    return run


def parse_mapping(text: str) -> dict[str, str]:
    """Parse a mapping such as text=body,title=headline,id=sku; raise InvalidInput for any other form."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not column.strip() for _, _, column in pairs):
        raise InvalidInput("mapping is written as text=body,title=headline,id=sku.")
    return {role.strip(): column.strip() for role, _, column in pairs}


def options_of(run: IngestionRun) -> RunOptions:
    return RunOptions(**run.options)


def source_of(run: IngestionRun) -> Source:
    """Return the source of a run; raise InvalidInput if its location no longer exists."""
    if not run.location:
        return Uploads(run)
    return open_source(run.location, allow_private=options_of(run).allow_private)


def list_files(run: IngestionRun, source: Source, *, wait_s: float = 0.0) -> bool:
    """Create a row for each file of the source, once for all workers; fail the run if the source cannot be listed.

    Return False if another worker is still listing it after `wait_s`.
    """
    with held(f"ingestion-list-{run.pk}", wait_s=wait_s) as is_mine:
        run.refresh_from_db()
        if run.is_listed or run.is_finished:
            return True
        if not is_mine:
            return False
        now = timezone.now()
        IngestionRun.objects.filter(pk=run.pk).update(
            state=IngestionRun.State.RUNNING, started_at=run.started_at or now, heartbeat_at=now
        )
        try:
            entries, seen = _beating(run, source.entries()), set[str]()
            while rows := [_row(run, entry, seen) for entry in islice(entries, _ROWS)]:
                IngestionFile.objects.bulk_create(rows, ignore_conflicts=True)
            check_prune(source, options_of(run))
            name_files(run)
        except FabraError as error:
            finish(run, error=str(error))
        else:
            IngestionRun.objects.filter(pk=run.pk).update(is_listed=True, total=run.files.count())
        run.refresh_from_db()
    return True


def _beating(run: IngestionRun, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries, and keep up the run's heartbeat, since a listing may take long."""
    beaten_at = time.monotonic()
    for entry in entries:
        if time.monotonic() > beaten_at + _BEAT_S:
            IngestionRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now())
            beaten_at = time.monotonic()
        yield entry


def check_prune(source: Source, options: RunOptions) -> None:
    """Raise SourceUnavailable if what a listed source does not list may be there all the same."""
    if source.is_partial and options.prune and not options.force:
        text = f"{source.location} is a feed, which lists its newest pages only: import it without --prune."
        raise SourceUnavailable(text)


def _row(run: IngestionRun, entry: Entry, seen: set[str]) -> IngestionFile:
    """Return the row of an entry; one whose name cannot be stored, or was listed before, is a failed one of its own."""
    path, reason = storable(entry.path)[:_PATH_MAX_CHARS], storable(entry.refused)
    if path != entry.path:
        reason = reason or "its name is no UTF-8, has a NUL, or is too long"
    if path in seen:
        path, reason = (
            f"{path[: _PATH_MAX_CHARS - 20]} (#{len(seen)})",
            "listed twice under this name, and only the first is read",
        )
    seen.add(path)
    state = IngestionFile.State.FAILED if reason else IngestionFile.State.WAITING
    return IngestionFile(
        run=run, path=path, state=state, reason=reason, finished_at=timezone.now() if reason else None
    )  # fmt: skip


def finish_if_done(run: IngestionRun, *, until: Callable[[], bool] = lambda: False, wait_s: float = 0.0) -> bool:
    """Prune and finish a run whose files are all done; return whether the run is finished: some may be read again.

    Once `until()` is true it leaves the rest of the pruning to another call.
    """
    with held(f"ingestion-finish-{run.pk}", wait_s=wait_s) as is_mine:
        run.refresh_from_db()
        if run.is_finished:
            return True
        if not is_mine:
            return False
        open_states = (IngestionFile.State.WAITING, IngestionFile.State.TAKEN)
        if not run.is_listed or run.files.filter(state__in=open_states).exists():
            return False
        if reread_pages(run):
            return False
        error: str | None = ""
        if options_of(run).prune:
            error = prune(run, is_forced=options_of(run).force, until=until)
        if error is None:
            return False
        finish(run, error=error)
        return True


def finish(run: IngestionRun, *, error: str = "") -> None:
    """Finish a run, and delete the files that were uploaded for it."""
    run.uploads.all().delete()
    IngestionRun.objects.filter(pk=run.pk).update(
        state=IngestionRun.State.FAILED if error else IngestionRun.State.DONE,
        error=storable(error),
        finished_at=timezone.now(),
    )  # fmt: skip
    run.refresh_from_db()
