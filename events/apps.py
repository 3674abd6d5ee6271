from datetime import timedelta

from django.conf import settings

from common import app_config


class EventsConfig(app_config.BotAppConfig):
    name = "events"

    def ready(self) -> None:
        from django.core import checks

        from common.retention import retain, stays
        from events.deliveries import observers
        from events.handlers import register_observers
        from events.retention import KINDS, STAYS
        from events.stream_groups import check_groups

        register_observers(observers)
        retain(*KINDS)
        stays(*STAYS)
        checks.register(check_groups, checks.Tags.database)
        self.when_migrated(_schedule)


def _schedule() -> None:
    from common.periodic_tasks import keep_entry

    if not settings.FABRA_STANDALONE:
        keep_entry("sweep the outbox", "events.tasks.sweep", timedelta(seconds=5))
        keep_entry("keep the hours of events", "events.tasks.keep_hours", timedelta(minutes=10))
        keep_entry("sweep the webhook deliveries", "events.tasks.sweep_webhooks", timedelta(seconds=5))
