from datetime import timedelta

from django.conf import settings
from django.core import checks

from common import app_config


class CommonConfig(app_config.BotAppConfig):
    name = "common"

    def ready(self) -> None:
        from common.checks import check_celery, check_databases, check_time_zones
        from common.models import ClockReading, PrunedKind, Pruning
        from common.redis_memory import check_redis
        from common.retention import Bounded, stays

        checks.register(check_celery)
        checks.register(check_time_zones)
        checks.register(check_databases)
        checks.register(check_redis, checks.Tags.database)
        pruning = (PrunedKind, Pruning, ClockReading)
        stays(Bounded(name="how far the pruning is", models=pruning, reason="one row for each kind"))
        self.when_migrated(_schedule)


def _schedule() -> None:
    from common.periodic_tasks import keep_entry

    if not settings.FABRA_STANDALONE:
        keep_entry("remove what is older than it is kept", "common.tasks.prune", timedelta(hours=1))
