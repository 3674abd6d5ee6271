import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.errors import FabraError
from retrieval.search.execute import search_sync
from retrieval.search.filters import EVERYONE


class Command(BaseCommand):
    help = "Search an index."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("index")
        parser.add_argument("query")
        parser.add_argument("--top-k", type=int, default=5)
        parser.add_argument("--mode", choices=["hybrid", "semantic", "lexical"], help="Default: as the index is set.")
        parser.add_argument("--filters", type=_filters, help='As {"category": {"$in": ["billing"]}}.')
        parser.add_argument("--audience", nargs="*", help='Default: documents for everyone; "*": all documents.')
        parser.add_argument("--max-per-document", type=int)
        parser.add_argument("--expand", type=int, default=0, help="Neighbours joined to each hit.")
        parser.add_argument("--rerank", action="store_true", default=None)
        parser.add_argument("--json", action="store_true", help="Print the hits as JSON.")

    def handle(self, *args: Any, index: str, query: str, top_k: int, **options: Any) -> None:
        audience = EVERYONE if options["audience"] == [EVERYONE] else options["audience"]
        try:
            record = search_sync(
                index,
                query,
                top_k,
                options["filters"],
                audience=audience,
                mode=options["mode"],
                max_per_document=options["max_per_document"],
                expand=options["expand"],
                rerank=options["rerank"],
            )
        except FabraError as error:
            raise CommandError(str(error)) from error
        for flag in record.flags:
            self.stderr.write(f"({flag})")
        if options["json"]:
            self.stdout.write(json.dumps([hit.to_dict() for hit in record.hits], ensure_ascii=False, indent=2))
            return
        for number, hit in enumerate(record.hits, 1):
            heading = f"{hit.title} > {hit.heading_path}" if hit.heading_path else hit.title
            self.stdout.write(self.style.MIGRATE_HEADING(f"{number}. {hit.score:.3f}  {heading}  [{hit.document_id}]"))
            self.stdout.write("   " + " ".join(hit.content.split())[:300])


def _filters(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ArgumentTypeError('write JSON, as {"category": "billing"}') from None
