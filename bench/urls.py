from django.urls import path

from bench.bare import chat, stream

urlpatterns = [path("chat", chat), path("stream", stream)]
