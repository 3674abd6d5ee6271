"""URLs of the admin pages that belong to no table."""

from django.contrib import admin
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from retrieval.admin.search_page import keep, show

app_name = "retrieval"

urlpatterns = [
    path("search-test/", admin.site.admin_view(require_GET(show)), name="search_test"),
    path("search-test/keep/", admin.site.admin_view(require_POST(keep)), name="search_test_keep"),
]
