from django.urls import path

from fabra_site import views

app_name = "fabra_site"
urlpatterns = [path("token", views.token, name="token")]
