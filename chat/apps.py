from django.apps import AppConfig
from django.core import checks


class ChatConfig(AppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat.checks import check_chat_context

        checks.register(check_chat_context)
