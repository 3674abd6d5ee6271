import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from chat.models import Conversation
from chat.sample.big_tables import FULL, fill_tables
from common.errors import FabraError
from contexts.models import Trace
from events.models import Event
from features.models import FeatureValue
from retrieval.models import Document


class Command(BaseCommand):
    help = "Fill an empty database with the tables of a busy installation, to see how pages and queries do on them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--scale",
            type=float,
            default=1.0,
            help="The share of: " + ", ".join(f"{count:,} {name}" for name, count in FULL.items()) + ". Default: 1.",
        )

    def handle(self, *args: Any, scale: float, **options: Any) -> None:
        if not 0 < scale <= 10:
            raise CommandError("--scale must be above 0, and at most 10.")
        for model in (Conversation, Document, Event, Trace, FeatureValue):
            if model._default_manager.exists():
                raise CommandError(
                    f"This database has {model._meta.verbose_name_plural}; the tables are filled in an empty one only."
                )
        started = time.monotonic()
        try:
            with transaction.atomic():  # a full disk, or Ctrl-C, leaves the database empty for another try
                for filled in fill_tables(scale):
                    self.stdout.write(f"{filled.rows:>9,} {filled.name:<14} after {time.monotonic() - started:.0f} s")
        except FabraError as error:  # of the embedder
            raise CommandError(str(error)) from error
