from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate, post_save


class FeaturesConfig(AppConfig):
    name = "features"
    verbose_name = "Feature store"

    def ready(self) -> None:
        from django_celery_beat.models import PeriodicTask

        from features.checks import check_celery
        from features.models import FeatureDefinition

        checks.register(check_celery)
        post_migrate.connect(_mirror, sender=self)
        post_save.connect(_schedule, sender=FeatureDefinition)
        post_save.connect(_adopt, sender=PeriodicTask)


def _mirror(**kwargs: Any) -> None:
    from features.mirror import mirror_features

    if not settings.FABRA_STANDALONE:
        mirror_features()


def _schedule(instance: Any, **kwargs: Any) -> None:
    from features.schedule import schedule_feature

    schedule_feature(instance)


def _adopt(instance: Any, raw: bool = False, **kwargs: Any) -> None:
    from features.schedule import MATERIALIZE_TASK, adopt_entry

    if instance.task == MATERIALIZE_TASK and not raw:
        adopt_entry(instance)
