from django.apps import AppConfig


class FabraSiteConfig(AppConfig):
    name = "fabra_site"
