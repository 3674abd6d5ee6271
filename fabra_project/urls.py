from django.urls import include, path
from django.utils.module_loading import module_has_submodule

from chat.serving import error_pages
from fabra.team_apps import team_apps

urlpatterns = [
    *(
        path(f"{config.label}/", include(f"{config.name}.urls"))
        for config in team_apps()
        if module_has_submodule(config.module, "urls")
    ),
    path("", include("chat.urls")),
]

handler400 = error_pages.bad_request
handler404 = error_pages.not_found
handler500 = error_pages.server_error
