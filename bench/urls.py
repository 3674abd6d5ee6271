from django.urls import path

from bench.bare import chat

urlpatterns = [path("chat", chat)]
