from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from common import app_config
from common.signals import operator_acted


class ChatConfig(app_config.BotAppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat import event_handlers
        from chat.access.audiences import audiences_of
        from chat.answer_flags import SMALL_TALK
        from chat.audit.entries import record_command
        from chat.checks import (
            check_audiences,
            check_bot,
            check_budgets,
            check_chat_context,
            check_model_fallback,
            check_models,
            check_rewrite,
        )
        from chat.conversations.kept_values import keep_conversation
        from chat.cost_budgets import warnings as budget_warnings
        from chat.gaps.grouping import forget
        from chat.idempotency.purge import STORE
        from chat.retention import KINDS, STAYS
        from common.retention import retain, stays
        from contexts.evidence import NEUTRAL_FLAGS
        from events.handlers import register_handlers
        from events.receiving import register_receiver
        from events.signals import pre_prune
        from retrieval.indexing.purge import register_store
        from retrieval.search.audience import register_audiences

        for check in (
            check_chat_context,
            check_rewrite,
            check_audiences,
            check_bot,
            check_model_fallback,
            check_models,
            check_budgets,
        ):
            checks.register(check)
        event_handlers.register()
        register_handlers(budget_warnings.handlers)
        retain(*KINDS)
        stays(*STAYS)
        if settings.FABRA_OWN_PROJECT:  # another project's sessions and sign-ins are its own
            from chat.access import retention as own

            retain(*own.KINDS)
            stays(*own.STAYS)
        register_store(STORE)
        register_receiver("chat:webhook")
        register_audiences(audiences_of)
        operator_acted.connect(record_command)
        NEUTRAL_FLAGS.add(SMALL_TALK)
        pre_prune.connect(keep_conversation)
        post_delete.connect(forget, sender="chat.GapQuestion")
        for signal in (post_save, post_delete):
            signal.connect(_forget_bots, sender="chat.Bot")
            signal.connect(_forget_phrases, sender="chat.LanguagePhrases")
            signal.connect(_forget_limits, sender="chat.LimitSettings")
            signal.connect(_forget_limits, sender="chat.TierLimit")
        # The last app of the settings: the permissions of all apps exist by then.
        self.when_migrated(_prepare)


def _forget_bots(**kwargs: Any) -> None:
    """Have the next question in this process read the bots anew; other processes do within two seconds."""
    from chat.bots.known import rows

    transaction.on_commit(rows.clear)


def _forget_phrases(**kwargs: Any) -> None:
    from chat.phrases.known import rows

    transaction.on_commit(rows.clear)


def _forget_limits(**kwargs: Any) -> None:
    from chat.limits.configured import rows

    transaction.on_commit(rows.clear)


def _prepare() -> None:
    from chat.access.groups import grant
    from chat.models import DEFAULT_BOT, Bot, HandoverSettings
    from common.periodic_tasks import keep_entry

    if not settings.FABRA_STANDALONE:
        grant()
        HandoverSettings.objects.get_or_create(pk=1)
        Bot.objects.without_logo().get_or_create(slug=DEFAULT_BOT)
        keep_entry("take back unanswered conversations", "chat.tasks.sweep_conversations", timedelta(seconds=15))
        keep_entry("end interrupted answers", "chat.tasks.end_interrupted_answers", timedelta(minutes=5))
        keep_entry("store the use of API keys", "chat.tasks.store_key_use", timedelta(minutes=1))
        keep_entry("sum up what models cost", "chat.tasks.roll_up_spending", timedelta(hours=1))
        keep_entry("sum up budgets anew", "chat.tasks.recount_budgets", timedelta(minutes=1))
        keep_entry("group unanswered questions", "chat.tasks.tend_gaps", timedelta(seconds=15))
