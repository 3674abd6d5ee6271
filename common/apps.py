from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate

from common import app_config


class CommonConfig(app_config.BotAppConfig):
    name = "common"

    def ready(self) -> None:
        from common.checks import check_celery
        from common.redis_memory import check_redis

        checks.register(check_celery)
        checks.register(check_redis, checks.Tags.database)
        post_migrate.connect(_schedule, sender=self)


def _schedule(**kwargs: Any) -> None:
    from common.periodic_tasks import keep_entry

    if not settings.FABRA_STANDALONE:
        keep_entry("remove what is older than it is kept", "common.tasks.prune", timedelta(hours=1))
