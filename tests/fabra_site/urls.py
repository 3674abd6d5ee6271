from django.urls import include, path

urlpatterns = [path("support/", include("fabra_site.urls"))]
