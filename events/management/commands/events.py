import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections
from django.db.models import QuerySet

from common.signals import operator_acted
from events.dead_letters import requeue
from events.models import Event

_POLL_S = 0.25
_LOOK_BACK = 500
"""How many ids below the highest to read again, because an event may commit after one with a higher id."""
_ENDED = (Event.State.DONE, Event.State.SUPERSEDED, Event.State.UNHANDLED, Event.State.DEAD)
_COLOURS = {
    "done": "SUCCESS",
    "dead": "ERROR",
    "retrying": "WARNING",
    "superseded": "HTTP_INFO",
    "unhandled": "WARNING",
}


class Command(BaseCommand):
    help = "Follow events live, or give dead ones another chance."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        tail = commands.add_parser("tail", help="print each event as it comes and as its state changes, until Ctrl-C")
        tail.add_argument("--last", type=int, default=10, metavar="N", help="begin with the last N (default: 10)")
        tail.add_argument("--no-follow", action="store_true", help="end after the last N")
        again = commands.add_parser("requeue", help="process dead events again")
        again.add_argument("--id", action="append", default=[], help="this event; may be given several times")
        again.add_argument("--all", action="store_true", help="every dead event that the other options let through")
        for command in (tail, again):
            command.add_argument("--type", default="", help="only events of this type")
            command.add_argument("--entity", default="", help="only events of this entity's id")
        tail.add_argument("--state", choices=Event.State.values, help="only lines of this state")

    def handle(self, *args: Any, **options: Any) -> None:
        events = Event.objects.all()
        if options["type"]:
            events = events.filter(event_type=options["type"])
        if options["entity"]:
            events = events.filter(entity_id=options["entity"])
        if options["what"] == "requeue":
            self._requeue(events, options)
        else:
            self._tail(events, options)

    def _requeue(self, events: QuerySet[Event], options: dict[str, Any]) -> None:
        if not options["id"] and not options["all"]:
            raise CommandError("Say which: --id ID, or --all with or without --type and --entity.")
        dead = events.filter(state=Event.State.DEAD)
        count = requeue(dead.filter(event_id__in=options["id"]) if options["id"] else dead)
        detail = ", ".join(options["id"]) or "all"
        operator_acted.send(None, command="events", action="requeue", target=f"{count} events", detail=detail)
        self.stdout.write(f"{count} back in the queue.")

    def _tail(self, events: QuerySet[Event], options: dict[str, Any]) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            for event in _changes(events.defer("payload"), options["last"], follows=not options["no_follow"]):
                if options["state"] in (None, event.state):
                    self.stdout.write(self._line(event))
                    self.stdout.flush()
        except (KeyboardInterrupt, BrokenPipeError):
            pass

    def _line(self, event: Event) -> str:
        style = getattr(self.style, _COLOURS.get(event.state, ""), str)
        state, lag, error = style(f"{event.state:<10}"), "", event.error.strip().splitlines()
        if event.applied_at:
            lag = f"  {(event.applied_at - (event.published_at or event.received_at)).total_seconds() * 1000:.0f} ms"
        attempt = f"  attempt {event.attempts}" if event.attempts > 1 else ""
        reason = f"  {error[-1][:200]}" if error and event.state != Event.State.DONE else ""
        received_at = f"{event.received_at:%Y-%m-%d %H:%M:%S}"
        return f"{received_at}  {state}  {event.event_type}  {event.entity_id}  {event.source}{lag}{attempt}{reason}"


def _changes(events: QuerySet[Event], last: int, *, follows: bool) -> Iterator[Event]:
    """Yield the last events, then every event that is new or whose state or number of attempts has changed."""
    recent = list(events.order_by("-pk")[:last])[::-1]
    newest = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    near = events.filter(pk__gt=newest - _LOOK_BACK).exclude(pk__in=[event.pk for event in recent])
    seen = {pk: (state, attempts) for pk, state, attempts in near.values_list("pk", "state", "attempts")}
    while True:
        for event in recent:
            if seen.get(event.pk) != (event.state, event.attempts):
                seen[event.pk] = (event.state, event.attempts)
                yield event
            newest = max(newest, event.pk)
        if not follows:
            return
        time.sleep(_POLL_S)
        floor = newest - _LOOK_BACK
        seen = {pk: state for pk, state in seen.items() if pk > floor or state[0] not in _ENDED}
        try:
            recent = list(events.filter(pk__gt=floor).order_by("pk"))
            recent += events.filter(pk__in=[pk for pk in seen if pk <= floor])
        except DatabaseError:  # PostgreSQL may be restarting
            close_old_connections()
