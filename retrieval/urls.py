"""URLs of the admin pages that belong to no table."""

from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from common.admin.permissions import admin_page
from retrieval.admin.search_page import keep, show

app_name = "retrieval"

urlpatterns = [
    path("search-test/", admin_page(require_GET(show)), name="search_test"),
    path("search-test/keep/", admin_page(require_POST(keep)), name="search_test_keep"),
]
