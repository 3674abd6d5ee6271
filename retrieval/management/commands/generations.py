import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from tqdm import tqdm

from common.errors import FabraError
from retrieval.dispatch import enqueue_build
from retrieval.embedders import BACKENDS
from retrieval.evaluation.comparison import compare_generation
from retrieval.generations import hnsw, lifecycle
from retrieval.models import Chunk, Generation, Index

_LOOK_S = 0.5


class Command(BaseCommand):
    help = "Build another generation of an index next to the one that serves; compare, switch, go back, drop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("index")
        todo = parser.add_subparsers(dest="todo", required=True)
        todo.add_parser("list", help="Show the generations.").add_argument("--json", action="store_true")
        build = todo.add_parser("build", help="Build a new one, or continue one; Ctrl-C leaves it to the workers.")
        build.add_argument("--model", default="", help="Default: FABRA_EMBEDDING_MODEL.")
        build.add_argument("--embedder", default="", help="local, openai or a dotted path; default: FABRA_EMBEDDER.")
        build.add_argument("--max-tokens", type=int, help="The longest chunk; default: what the model reads.")
        build.add_argument("--generation", type=int, help="Continue this one.")
        build.add_argument("--workers", type=int, default=2, help="Celery workers that help, 0 for none.")
        compare = todo.add_parser("compare", help="Ask it and the serving one the same questions.")
        compare.add_argument("--queries", type=Path, help="A file with a question on each line; default: from traces.")
        compare.add_argument("--json", action="store_true")
        for name, text in (
            ("switch", "Have it serve; also the way back."),
            ("rebuild", "Build its HNSW anew, after many deletions say; the present one serves until it stands."),
            ("drop", "Remove it."),
        ):
            todo.add_parser(name, help=text).add_argument("generation", type=int)
        compare.add_argument("generation", type=int)

    def handle(self, *args: Any, index: str, todo: str, **options: Any) -> None:
        try:
            getattr(self, f"_{todo}")(lifecycle.find_index(index), options)
        except FabraError as error:
            raise CommandError(str(error)) from error

    def _list(self, index: Index, options: dict[str, Any]) -> None:
        rows = [
            {
                "generation": generation.pk,
                "serves": generation.pk == index.generation_id,
                "state": generation.state,
                "model": generation.embedding_model,
                "embedder": generation.embedder,
                "dimension": generation.dimension,
                "max_tokens": generation.max_tokens,
                "documents": f"{generation.done}/{generation.total}",
                "outdated": lifecycle.outdated_documents(generation).count(),
                "chunks": Chunk.objects.filter(generation=generation).count(),
                "error": generation.error,
            }
            for generation in index.generations.order_by("pk")
        ]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            mark = "serves" if row["serves"] else row["state"]
            size = f", chunks up to {row['max_tokens']} tokens" if row["max_tokens"] else ""
            self.stdout.write(
                f"#{row['generation']}  {mark:<9} {row['model']} ({row['dimension']} dimensions{size}), "
                f"{row['chunks']:,} chunks" + (f", {row['outdated']} documents behind" if row["outdated"] else "")
            )
            if row["error"]:
                self.stdout.write(self.style.WARNING(f"      {row['error']}"))

    def _build(self, index: Index, options: dict[str, Any]) -> None:
        if options["generation"]:
            generation = self._find(index, options)
        else:
            backend = BACKENDS.get(options["embedder"], options["embedder"])
            generation = lifecycle.open_generation(
                index, model=options["model"], backend=backend, max_tokens=options["max_tokens"]
            )
            self.stdout.write(f"The generation #{generation.pk}: {generation.dimension} dimensions.")
        enqueue_build(generation.pk, options["workers"])
        with _progress(generation.total, "building", " documents", generation.done) as progress:

            def show(count: int) -> None:
                # The row counts what all workers have built.
                done = Generation.objects.values_list("done", flat=True).get(pk=generation.pk)
                progress.update(max(0, done - progress.n))

            lifecycle.execute_build(generation.pk, show)
        generation.refresh_from_db()
        if generation.state == Generation.State.READY:
            self.stdout.write(self.style.SUCCESS(f"Ready; manage.py generations {index.name} switch {generation.pk}"))
        else:
            self.stdout.write("Other workers are at the rest; `list` shows how far they are.")

    def _compare(self, index: Index, options: dict[str, Any]) -> None:
        generation = self._find(index, options)
        lines = options["queries"].read_text().splitlines() if options["queries"] else None
        queries = None if lines is None else [line for line in lines if line.strip()]
        with _progress(None, "asking", " questions") as progress:
            result = compare_generation(generation.pk, queries, progress.update)
        if options["json"]:
            self.stdout.write(json.dumps(result, indent=2))
            return
        self.stdout.write(f"{result['queries']} stored and {result['golden_questions']} golden questions")
        for name, value in result.items():
            if isinstance(value, list):
                self.stdout.write(f"  {name:<15} #{result['with']} {value[0]:>9}   #{generation.pk} {value[1]:>9}")
        self.stdout.write(f"  overlap@10      {result['overlap@10']}")

    def _switch(self, index: Index, options: dict[str, Any]) -> None:
        generation = self._find(index, options)
        lifecycle.switch(generation)
        self.stdout.write(self.style.SUCCESS(f"#{generation.pk} serves; #{index.generation_id} is kept up to date."))
        if changes := lifecycle.find_index(index.name).stale_threshold():
            self.stdout.write(
                self.style.WARNING(
                    f"The index's threshold is not applied any more ({'; '.join(changes)}): "
                    f"manage.py calibrate {index.name}"
                )
            )

    def _rebuild(self, index: Index, options: dict[str, Any]) -> None:
        generation = self._find(index, options)
        with _progress(100, "building", " %") as progress, ThreadPoolExecutor(1) as pool:
            built = pool.submit(build_hnsw, generation.pk)
            while not built.done():
                progress.update(max(0, round(100 * (hnsw.build_share(generation.pk) or 0)) - progress.n))
                time.sleep(_LOOK_S)
            if not built.result():
                raise CommandError(f"A worker is building the HNSW of #{generation.pk} already.")
            progress.update(100 - progress.n)
        self.stdout.write(self.style.SUCCESS(f"The HNSW of #{generation.pk} was built anew."))

    def _drop(self, index: Index, options: dict[str, Any]) -> None:
        generation = self._find(index, options)
        lifecycle.mark_dropped(generation)
        with _progress(Chunk.objects.filter(generation=generation).count(), "dropping", " chunks") as progress:
            lifecycle.execute_drop(generation.pk, progress.update)
        self.stdout.write(f"#{options['generation']} is gone.")

    def _find(self, index: Index, options: dict[str, Any]) -> Generation:
        found = index.generations.filter(pk=options["generation"]).first()
        if found is None:
            raise CommandError(f"The index {index.name} has no generation #{options['generation']}.")
        return found


def build_hnsw(generation_id: int) -> bool:
    """Build it anew on a connection of this thread's own; return False if another worker is at it."""
    try:
        return hnsw.build_hnsw(generation_id, is_rebuild=True)
    finally:
        connection.close()


@contextmanager
def _progress(total: int | None, text: str, unit: str, done: int = 0) -> Iterator[Any]:
    interval_s = 0.1 if sys.stderr.isatty() else 15
    with tqdm(total=total, initial=done, desc=text, unit=unit, file=sys.stderr, mininterval=interval_s) as progress:
        yield progress
