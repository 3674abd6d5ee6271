from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import FabraError
from common.signals import operator_acted
from retrieval.indexing.purge import purge_document


class Command(BaseCommand):
    help = (
        "Erase documents: their texts in all versions, in events and in caches, which a plain deletion keeps. Only "
        "their ids stay. The exit code is 1 if something is left to erase, as when Redis is down; the upkeep goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("index")
        parser.add_argument("entity_id", nargs="+", help="The documents' ids.")
        parser.add_argument("--no-input", action="store_true", help="Do not ask whether to do it.")

    def handle(self, *args: Any, index: str, entity_id: list[str], no_input: bool, **options: Any) -> None:
        if not no_input:
            self.stdout.write(f"This erases for good, in the index {index}: {', '.join(entity_id)}")
            if input("Type yes to go on: ").strip().lower() != "yes":
                raise CommandError("Nothing was erased.")
        failures = 0
        for document_id in entity_id:
            try:
                left = purge_document(index, document_id)
            except FabraError as error:
                left = [str(error)]
            failures += bool(left)
            operator_acted.send(
                None, command="purge_documents", action="purge", target=f"document {document_id} of {index}",
                detail="; ".join(left),
            )  # fmt: skip
            style = self.style.WARNING if left else self.style.SUCCESS
            self.stdout.write(style(f"{document_id}: {'; '.join(left) or 'purged'}"))
        if failures:
            raise CommandError(f"{failures} of {len(entity_id)} are not purged yet.")
