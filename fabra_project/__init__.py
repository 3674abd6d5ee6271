"""Settings, URLs and the wiring of the parts."""

from fabra_project.celery import app as celery_app

__all__ = ["celery_app"]
