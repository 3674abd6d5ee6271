"""Values that a clock that was ahead has dated to the future: they get a time before that of what is written now.

Else they would beat each later value until their time comes, in every read of the offline store.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from common.clocks import AHEAD, latest_possible
from common.locks import lock_in_transaction
from features.models import FeatureConfirmation, FeatureValue

# A value is newer than those of its entity that were written before it, and tells otherwise the time of a minute ago.
_CORRECT = """
UPDATE features_featurevalue v
SET created_at = %(now)s,
    event_timestamp = CASE WHEN v.event_timestamp <= %(latest)s THEN v.event_timestamp ELSE greatest(%(moment)s, (
        SELECT max(p.event_timestamp) + interval '1 microsecond'
        FROM features_featurevalue p
        WHERE p.entity = v.entity AND p.entity_key = v.entity_key AND p.feature = v.feature AND p.id < v.id
          AND p.event_timestamp <= %(latest)s
    )) END
WHERE v.feature = %(feature)s AND v.created_at > %(latest)s
"""


def correct_times(feature: str, written: datetime) -> None:
    """Correct a feature's values and confirmations that lie ahead; call it in a transaction that writes values.

    `written` is the time of these, which are newer. Both times of a value are of the clock that wrote it, so that the
    index of `created_at` finds them.
    """
    now = timezone.now()
    latest = latest_possible(now)
    confirmed = FeatureConfirmation.objects.filter(Q(moment__gt=latest) | Q(created_at__gt=latest), feature=feature)
    values = FeatureValue.objects.filter(feature=feature, created_at__gt=latest)
    if not (values.exists() or confirmed.exists()):
        return
    lock_in_transaction(f"times ahead:{feature}")
    moment = min(now - AHEAD, written - timedelta(microseconds=1))
    with connection.cursor() as cursor:
        cursor.execute(_CORRECT, {"feature": feature, "now": now, "latest": latest, "moment": moment})
    confirmed.update(moment=moment, created_at=moment)
