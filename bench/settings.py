"""The project's settings for the bare view: its URLs, and no middleware around it."""

from fabra_project.settings import *  # noqa: F403

ROOT_URLCONF = "bench.urls"
MIDDLEWARE = []
