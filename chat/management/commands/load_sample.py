import json
from datetime import datetime, time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import make_aware

from chat.models import Customer, SampleState, Ticket
from chat.sample import SAMPLE, SOURCE, STARTED_BY
from chat.sample.removal import remove_sample
from chat.sample.state import mark, reason_not_to_load
from common.errors import FabraError
from features.models import KnownEntity
from retrieval.evaluation.asked import read_questions
from retrieval.evaluation.calibration import calibrate, questions_for
from retrieval.evaluation.golden import read_golden, save_golden
from retrieval.models import CalibrationRun, Index, SourceFile


class Command(BaseCommand):
    help = "Load the sample users, articles and golden questions, and calibrate; what is there already stays."

    def add_arguments(self, parser: CommandParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            "--if-empty", action="store_true", help="Do nothing if there is data, or the sample was loaded before."
        )
        group.add_argument(
            "--remove", action="store_true", help="Take away what the sample brought, but for what was changed since."
        )

    def handle(self, *args: Any, if_empty: bool = False, remove: bool = False, **options: Any) -> None:
        if remove:
            for line in remove_sample():
                self.stdout.write(f"Removed: {line}")
            mark(SampleState.State.REMOVED)
            return
        if if_empty and (reason := reason_not_to_load()):
            self.stdout.write(f"The sample is not loaded: {reason}.")
            return
        mark(SampleState.State.LOADING)
        self._load()
        mark(SampleState.State.LOADED)

    def _load(self) -> None:
        users = json.loads((SAMPLE / "users.json").read_text())
        for user in users:
            customer, _ = Customer.objects.get_or_create(
                user_id=user["user_id"], defaults={"name": user["name"], "tier": user["tier"]}
            )
            for ticket in user["tickets"]:
                Ticket.objects.get_or_create(
                    number=ticket["number"],
                    defaults={
                        "customer": customer,
                        "subject": ticket["subject"],
                        "status": ticket["status"],
                        "created_at": _moment(ticket["created_at"]),
                    },
                )
        KnownEntity.objects.touch("User", [user["user_id"] for user in users])
        self.stdout.write(f"{len(users)} users, {Ticket.objects.count()} tickets")
        _keep_source()
        call_command(
            "index_documents",
            SAMPLE / "articles",
            index=settings.FABRA_DEFAULT_INDEX,
            source=SOURCE,
            stdout=self.stdout,
            stderr=self.stderr,
        )
        questions = read_golden((SAMPLE / "questions.json").read_bytes(), "questions.json")
        save_golden(Index.objects.get(name=settings.FABRA_DEFAULT_INDEX), questions, only_new=True)
        self.stdout.write(f"{len(questions)} golden questions")
        self._calibrate()

    def _calibrate(self) -> None:
        """Set the index's threshold once, so that the sample's own questions are answered and others are not.

        Whatever an operator makes of it stays. Without the embedding model the bot starts all the same.
        """
        name = settings.FABRA_DEFAULT_INDEX
        if CalibrationRun.objects.filter(index__name=name).exists():
            return
        try:
            questions = questions_for(name, read_questions(SAMPLE / "unanswerable.json"), ["sample"])
            run = calibrate(questions, most_refused=0.0, started_by=STARTED_BY)
        except FabraError as error:
            self.stderr.write(f"{name} has no threshold: {error}")
            return
        self.stdout.write(f"{run.refused_unanswerable:.0%} of {len(questions.unanswerable)} other questions refused")


def _keep_source() -> None:
    """Give the articles that were loaded under their folder's path the source's name: the project may have moved."""
    if not SourceFile.objects.filter(source=SOURCE).exists():
        SourceFile.objects.filter(source__endswith="/chat/sample/articles").update(source=SOURCE)


def _moment(text: str) -> Any:
    moment = parse_datetime(text)
    if moment is None:
        day = parse_date(text)
        assert day is not None, text
        moment = datetime.combine(day, time(9))
    return moment if moment.tzinfo else make_aware(moment)
