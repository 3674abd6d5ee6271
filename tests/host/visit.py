"""Run within the other project: make its tables, index a document, visit its pages; print what came, as JSON."""

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client, override_settings  # noqa: E402

PASSWORD = "a secret of the shop"
_SIGN_IN = {"username": "boss@shop.example", "password": PASSWORD, "next": "/fabra/admin/"}


def main(document: Path) -> dict[str, Any]:
    from shop import settings as shop  # type: ignore[import-not-found]

    call_command("makemigrations", "people", verbosity=0)
    call_command("migrate", "people", verbosity=0)  # before the bot has a table
    call_command("migrate", "people", database="archive", verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("migrate", database="archive", verbosity=0)
    call_command("migrate", "people", verbosity=0)
    checked = StringIO()
    call_command("check", stdout=checked, stderr=checked)
    call_command("makemigrations", dry_run=True, stdout=checked)
    unrouted = StringIO()
    with override_settings(DATABASE_ROUTERS=[]):
        call_command("check", stdout=unrouted, stderr=unrouted)
    call_command("index_documents", document, index="knowledge_base", stdout=StringIO())
    get_user_model().objects.create_superuser("boss@shop.example", PASSWORD)
    Group.objects.create(name="packers")
    call_command("sync_models", stdout=StringIO())
    client, stranger = Client(), Client()
    signed_in = client.post("/fabra/admin/login/", _SIGN_IN)
    question = {"user_id": "boss@shop.example", "message": "How long does a refund take?"}
    of_object = {"user_id": "boss@shop.example", "message": "Who answers questions about shipping?"}
    visited = {
        "chat": client.post("/fabra/chat", json.dumps(question), content_type="application/json"),
        "object": client.post("/fabra/chat", json.dumps(of_object), content_type="application/json"),
        "page": client.get("/fabra/"),
        "conversations": client.get("/fabra/api/conversations/"),
        "schema": client.get("/fabra/api/schema/?format=json"),
        "refused": stranger.get("/fabra/api/conversations/"),
        "sign-in": stranger.get("/fabra/login/"),
        "page of a stranger": stranger.get("/fabra/"),
        "healthz": stranger.get("/fabra/healthz"),
        "widget": stranger.get("/fabra/widget.js"),
        "sign-in of the admin": stranger.get("/fabra/admin/login/"),
        "unknown": stranger.get("/fabra/api/nothing/at/all/"),
        "bot admin": client.get("/fabra/admin/"),
        "bot list": client.get("/fabra/admin/chat/conversation/"),
        "inbox": client.get("/fabra/admin/inbox/"),
        "bot form": client.get("/fabra/admin/chat/bot/add/"),
        "handover form": client.get("/fabra/admin/chat/handoversettings/1/change/"),
        "form": client.get("/fabra/admin/retrieval/ingestionrun/upload/"),
        "own admin": client.get("/admin/"),
        "orders": client.get("/orders/"),
        "open": client.get("/open/"),
        "open again": client.get("/open/"),
    }
    return {
        "checked": checked.getvalue(),
        "checked without a router": unrouted.getvalue(),
        "tables of the archive": connections["archive"].introspection.table_names(),
        "signed in": [signed_in.status_code, signed_in.headers.get("Location")],
        "visited": {
            name: {"status": answer.status_code, "headers": dict(answer.headers), "text": answer.content.decode()}
            for name, answer in visited.items()
        },
        # Django itself puts a slash before STATIC_URL.
        "changed": [
            name
            for name, value in shop.BEFORE.items()
            if name not in ("INSTALLED_APPS", "MIDDLEWARE", "STATIC_URL") and getattr(settings, name) != value
        ],
        "first apps": settings.INSTALLED_APPS[: len(shop.BEFORE["INSTALLED_APPS"])] == shop.BEFORE["INSTALLED_APPS"],
        "of rows": _pages_of_rows(client, [visited[name].json()["message_id"] for name in ("chat", "object")]),
        "queue": _queue_of_a_task(),
        "asgi": _asgi_paths(),
        "told": _told_of_another_database(),
    }


def _pages_of_rows(client: Client, message_ids: list[int]) -> dict[str, Any]:
    """Return the page of one row of each table of the bot's admin, by the model's label."""
    from common.admin.site import reverse_admin, site

    feedback = json.dumps({"value": "down", "comment": "Which refund?"})
    for message_id in message_ids:
        client.put(f"/fabra/api/messages/{message_id}/feedback/", feedback, content_type="application/json")
    pages = {}
    for model in site._registry:
        row = model._default_manager.first()
        if row is not None:
            page = client.get(reverse_admin(f"{model._meta.app_label}_{model._meta.model_name}_change", row.pk))
            pages[model._meta.label] = {"status": page.status_code, "text": page.content.decode()}
    return pages


def _queue_of_a_task() -> list[Any]:
    from celery import current_app
    from redis import Redis

    from common.dispatch import enqueue

    enqueue("events.tasks.sweep", otherwise="", queue="state")
    keys = Redis.from_url(settings.REDIS_URL).keys(f"{settings.FABRA_REDIS_PREFIX}:shop:*")
    current_app.loader.import_default_modules()
    task = current_app.tasks["events.tasks.sweep"]
    names = sorted(key.decode().rpartition(":")[2] for key in keys if b"kombu" not in key)
    return [current_app.main, names, task.acks_late]


def _told_of_another_database() -> list[int]:
    """Return how many changes were told of within a transaction of another database, and after it."""
    from django.db import transaction

    from common.model_changes import when_written

    told: list[str] = []
    with transaction.atomic(using="archive"):
        when_written("archive", lambda: told.append("archive"))
        within = len(told)
    return [within, len(told)]


def _asgi_paths() -> str:
    from shop.asgi import application  # type: ignore[import-not-found]

    return str(application.__qualname__)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
