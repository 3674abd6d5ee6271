from django.contrib import admin
from django.urls import include, path

from chat.api import error_pages

urlpatterns = [
    path("admin/retrieval/", include("retrieval.urls")),
    path("admin/storage/", include("common.urls")),
    path("admin/inbox/", include("chat.inbox.urls")),
    path("admin/", admin.site.urls),
    path("", include("chat.urls")),
]

handler400 = error_pages.bad_request
handler404 = error_pages.not_found
handler500 = error_pages.server_error
