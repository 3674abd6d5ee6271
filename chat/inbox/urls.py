"""URLs of the inbox, below the admin's."""

from django.urls import path, re_path
from django.views.decorators.http import require_GET, require_POST

from chat.inbox import views
from common.admin.permissions import admin_page

app_name = "inbox"

urlpatterns = [
    path("", admin_page(require_GET(views.show)), name="inbox"),
    path("list/", admin_page(require_GET(views.listing)), name="list"),
    path("passages/", admin_page(require_GET(views.passages)), name="passages"),
    re_path(r"^(?P<pk>\d{1,18})/$", admin_page(require_GET(views.conversation)), name="conversation"),
    re_path(r"^(?P<pk>\d{1,18})/messages/$", admin_page(require_GET(views.messages)), name="messages"),
    re_path(
        r"^(?P<pk>\d{1,18})/(?P<action>take|send|hand-back|close)/$", admin_page(require_POST(views.act)), name="act"
    ),
]
