"""URLs of the inbox, below the admin's."""

from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from chat.inbox import views
from common.admin.permissions import admin_page

app_name = "inbox"

urlpatterns = [
    path("", admin_page(require_GET(views.show)), name="inbox"),
    path("list/", admin_page(require_GET(views.listing)), name="list"),
    path("passages/", admin_page(require_GET(views.passages)), name="passages"),
    path("<int:pk>/", admin_page(require_GET(views.conversation)), name="conversation"),
    path("<int:pk>/messages/", admin_page(require_GET(views.messages)), name="messages"),
    path("<int:pk>/take/", admin_page(require_POST(views.take)), name="take"),
    path("<int:pk>/send/", admin_page(require_POST(views.send)), name="send"),
    path("<int:pk>/hand-back/", admin_page(require_POST(views.hand_back)), name="hand_back"),
    path("colleagues/", admin_page(require_GET(views.colleagues)), name="colleagues"),
    path("<int:pk>/transfer/", admin_page(require_POST(views.transfer)), name="transfer"),
    path("<int:pk>/close/", admin_page(require_POST(views.close)), name="close"),
]
