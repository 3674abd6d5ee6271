"""URLs of the admin pages that belong to no app."""

from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from common.admin import storage
from common.admin.permissions import admin_page

app_name = "common"

urlpatterns = [
    path("", admin_page(require_GET(storage.show)), name="storage"),
    path("prune/", admin_page(require_POST(storage.prune_now)), name="prune_now"),
    path("clock/", admin_page(require_POST(storage.believe_clock)), name="believe_clock"),
]
