"""The Django project: settings, URLs, the ASGI and Celery applications, and the stack."""

from fabra_project.celery import app as celery_app

__all__ = ["celery_app"]
