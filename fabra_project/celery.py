"""The Celery application of workers and beat."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")

app = Celery("fabra_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
