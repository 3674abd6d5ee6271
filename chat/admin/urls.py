"""URLs of the admin's pages that belong to no table."""

from django.urls import path
from django.views.decorators.http import require_GET

from chat.admin import spending_page
from common.admin.permissions import admin_page

app_name = "spending"

urlpatterns = [path("", admin_page(require_GET(spending_page.show)), name="spending")]
