"""Forget entities: their values, online and offline, and that they are known."""

import logging
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from common.redis import REDIS_ERRORS, plain_redis
from features.models import FeatureValue, KnownEntity
from features.online import entity_key_of

logger = logging.getLogger(__name__)


def forget_entities(entity: str, entity_keys: Sequence[str]) -> None:
    """Delete all values of these entities; without Redis what it holds expires by itself, and is then not served."""
    with transaction.atomic():
        FeatureValue.objects.filter(entity=entity, entity_key__in=entity_keys).delete()
        KnownEntity.objects.filter(entity=entity, entity_key__in=entity_keys).delete()
        transaction.on_commit(lambda: _forget_online(entity, entity_keys))


def _forget_online(entity: str, entity_keys: Sequence[str]) -> None:
    if not entity_keys:
        return
    try:
        plain_redis(settings.FABRA_REDIS_TIMEOUT_S).delete(*[entity_key_of(entity, key) for key in entity_keys])
    except REDIS_ERRORS as error:
        logger.warning("Values of forgotten entities stay in Redis for a while: %s", type(error).__name__)
