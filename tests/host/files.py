"""A project that is not the bot's: users with an e-mail address and a UUID, and rules of its own for all else."""

FILES = {
    "people/__init__.py": "",
    "people/migrations/__init__.py": "",
    "people/models.py": """
import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class PersonManager(BaseUserManager):
    def create_superuser(self, email, password=None, **fields):
        person = self.model(email=email, is_staff=True, is_superuser=True, **fields)
        person.set_password(password)
        person.save()
        return person


class Person(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "email"
    objects = PersonManager()
""",
    "people/definitions.py": """
from django.contrib.auth.models import Group

from fabra.retrieval import index_model


@index_model(Group, index="knowledge_base")
class Groups:
    def text(self, group):
        return f"The {group.name} answer questions about shipping in three days."

    def url(self, group):
        return f"https://shop.example/groups/{group.pk}/"
""",
    "shop/__init__.py": "from shop.celery import app as celery_app\n",
    "shop/celery.py": """
from celery import Celery

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="SHOP_CELERY")
app.autodiscover_tasks()
""",
    "shop/rules.py": """
from rest_framework.renderers import JSONRenderer


class CamelCase(JSONRenderer):
    def render(self, data, *args, **kwargs):
        named = {name.title().replace("_", ""): value for name, value in data.items()}
        return super().render(named, *args, **kwargs)


def handle(error, context):
    from rest_framework.views import exception_handler

    response = exception_handler(error, context)
    if response is not None:
        response.data = {"shop_error": str(error)}
    return response
""",
    "shop/orders.py": """
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView


class Orders(APIView):
    def get(self, request):
        return Response({"order_count": 3})


class Open(Orders):
    permission_classes = [AllowAny]
""",
}
SETTINGS = """
import os

import environ

DEBUG = False
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS += ["people", "rest_framework"]
AUTH_USER_MODEL = "people.Person"
DATABASES = {"default": environ.Env().db_url_config(os.environ["SHOP_DATABASE"])}
DATABASES["default"]["ATOMIC_REQUESTS"] = True
DATABASES["archive"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "ATOMIC_REQUESTS": True}
DATABASE_ROUTERS = ["fabra.hosting.BotRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = None
MIDDLEWARE += ["django.contrib.auth.middleware.LoginRequiredMiddleware", "django.middleware.locale.LocaleMiddleware"]
CSRF_USE_SESSIONS = True
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["shop.rules.CamelCase"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1/day"},
    "EXCEPTION_HANDLER": "shop.rules.handle",
    "DATETIME_FORMAT": "%s",
}
SHOP_CELERY_BROKER_URL = os.environ["REDIS_URL"]
SHOP_CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": os.environ["FABRA_REDIS_PREFIX"] + ":shop:"}
SHOP_CELERY_TASK_DEFAULT_QUEUE = "errands"
BEFORE = {name: value for name, value in globals().items() if name.isupper()}
BEFORE = {**BEFORE, "INSTALLED_APPS": list(INSTALLED_APPS), "MIDDLEWARE": list(MIDDLEWARE)}
"""
"""Behind what `startproject` writes; the lines of the documentation follow."""
URLS = """
from shop.orders import Open, Orders

urlpatterns += [path("orders/", Orders.as_view()), path("open/", Open.as_view())]
"""
