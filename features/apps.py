from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.db.models.signals import post_save

from common import app_config


class FeaturesConfig(app_config.BotAppConfig):
    name = "features"
    verbose_name = "Feature store"

    def ready(self) -> None:
        from django_celery_beat.models import PeriodicTask

        from common.retention import retain, stays
        from events.acceptance import register_taker
        from events.handlers import register_handlers
        from events.signals import recorded
        from features import event_handlers
        from features.checks import check_annotations, check_inputs, check_querysets
        from features.models import FeatureDefinition
        from features.querysets import changes, outdated
        from features.retention import KINDS, STAYS

        checks.register(check_annotations)
        checks.register(check_querysets)
        checks.register(check_inputs)
        register_handlers(event_handlers.handlers)
        register_taker(event_handlers.is_trigger)
        register_handlers(outdated.handlers)
        changes.connect()
        recorded.connect(event_handlers.remember_entities)
        retain(*KINDS)
        stays(*STAYS)
        self.when_migrated(_sync)
        post_save.connect(_schedule, sender=FeatureDefinition)
        post_save.connect(_adopt, sender=PeriodicTask)


def _sync() -> None:
    from common.periodic_tasks import keep_entry
    from features.sync_definitions import sync_features

    if not settings.FABRA_STANDALONE:
        sync_features()
        keep_entry("pick up materialisation runs", "features.tasks.upkeep", timedelta(seconds=5))


def _schedule(instance: Any, **kwargs: Any) -> None:
    from features.materialization.schedule import schedule_feature

    schedule_feature(instance)


def _adopt(instance: Any, raw: bool = False, **kwargs: Any) -> None:
    from features.materialization.schedule import MATERIALIZE_TASK, adopt_entry

    if instance.task == MATERIALIZE_TASK and not raw:
        adopt_entry(instance)
