from django.apps import AppConfig
from django.core import checks


class CommonConfig(AppConfig):
    name = "common"

    def ready(self) -> None:
        from common.checks import check_celery

        checks.register(check_celery)
