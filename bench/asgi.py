"""The ASGI application of the bare view."""

from django.core.asgi import get_asgi_application

application = get_asgi_application()
