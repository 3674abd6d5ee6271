"""Send webhooks: sign them, post them, and record what came of it."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from common.addresses import special_kind
from common.locks import held
from common.outgoing import CheckedClient, Refused, is_of_tls, origin_of
from common.validation import to_json
from events.erasure import ERASED_ERROR, is_erased
from events.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from events.models.signing import SecretUnreadable
from events.webhooks import MAX_SIGNATURES, SIGNATURE, TIMESTAMP, sign

AGENT = "fabra-webhooks"
DELIVERY = "X-Fabra-Delivery"
RESPONSE_MAX_BYTES = 1024
_TURN_S = 10.0
_PRIVATE_HINT = "FABRA_WEBHOOK_ALLOW_PRIVATE allows it"


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """What came of one attempt."""

    started_at: datetime
    duration_ms: float = 0.0
    status: int | None = None
    error: str = ""
    """A stable code; empty if it was delivered."""
    response: str = ""
    retry_after_s: float | None = None


def send_due(endpoint_pk: int) -> bool:
    """Send what is due for an endpoint in one turn; return whether more is due.

    One worker at a time sends to an endpoint, one delivery after another; the turn ends with the first failure. So an
    endpoint that hangs keeps one worker for one timeout, and the others' deliveries come next.
    """
    with held(f"webhooks:{endpoint_pk}") as is_mine:
        if not is_mine:
            return False  # the worker that sends looks again when it has finished
        _send_turn(endpoint_pk)
    return WebhookEndpoint.objects.with_due().filter(pk=endpoint_pk).exists()


def _send_turn(endpoint_pk: int) -> None:
    ends_at = time.monotonic() + _TURN_S
    with closing(_client()) as client:
        while time.monotonic() < ends_at:
            # Read again each time: it may be disabled, or have a new URL or secret.
            endpoint = WebhookEndpoint.objects.with_due().filter(pk=endpoint_pk).first()
            delivery = WebhookDelivery.objects.due().filter(endpoint=endpoint_pk).select_related("event").first()
            if endpoint is None or delivery is None:
                return
            if is_erased(delivery.event):
                WebhookDelivery.objects.filter(pk=delivery.pk).give_up(ERASED_ERROR)
                continue
            result = _attempt(client, endpoint, delivery)
            record(endpoint, delivery, result)
            if result.error:
                return


def _client() -> CheckedClient:
    seconds = settings.FABRA_WEBHOOK_TIMEOUT_S
    return CheckedClient(
        agent=AGENT, allow_private=_may_be_private(), private_hint=_PRIVATE_HINT,
        is_https_required=True, timeout=httpx.Timeout(seconds, connect=min(5.0, seconds)),
    )  # fmt: skip


def _may_be_private() -> bool:
    allowed = settings.FABRA_WEBHOOK_ALLOW_PRIVATE
    return bool(settings.DEBUG if allowed is None else allowed)


def problem_of_url(url: str) -> str:
    """Return why a URL can be no endpoint's; "" if it can. Its host is looked up when something is sent to it."""
    try:
        scheme, host, _ = origin_of(url)
    except Refused as refusal:
        return f"This is {refusal}."
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "It must have no user, password or fragment: what is sent is signed, so the receiver needs no password."
    if _may_be_private():
        return ""
    if scheme != "https":
        return "It must begin with https://."
    try:
        kind = special_kind(host.strip("[]"))
    except ValueError:
        return ""  # a name
    return f"This address is private ({kind}); {_PRIVATE_HINT}." if kind else ""


def message_of(event: Event) -> dict[str, Any]:
    """Return what is sent: the event, in the form that POST /api/events/ takes."""
    return {
        "id": event.event_id,
        "event_type": event.event_type,
        "entity_id": event.entity_id,
        "payload": event.payload,
        "occurred_at": event.occurred_at.isoformat(),
    }


def signature_of(endpoint: WebhookEndpoint, timestamp: str, body: bytes) -> str:
    """Return the signature header: one signature for each secret that is valid, while the receiver changes over."""
    return ",".join(sign(secret, timestamp, body) for secret in endpoint.signing_secrets()[:MAX_SIGNATURES])


def _attempt(client: CheckedClient, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> AttemptResult:
    body = to_json(message_of(delivery.event), "event").encode()
    started_at, started = timezone.now(), time.perf_counter()
    status, error, response, retry_after_s = None, "", "", None
    try:
        headers = _headers(endpoint, delivery, body)
        request = client.request(
            "POST", endpoint.url, max_bytes=RESPONSE_MAX_BYTES, headers=headers, content=body, is_cut=True
        )
        answer = client.run(request, settings.FABRA_WEBHOOK_TIMEOUT_S)
    except SecretUnreadable:
        error = "secret_unreadable"
    except Refused as refusal:
        error = refusal.code
    except httpx.TimeoutException:
        error = "timeout"
    except httpx.HTTPError as failure:
        error = "tls_failed" if is_of_tls(failure) else "connection_failed"
    else:
        status, error = answer.status, _error_of(answer.status)
        response = answer.content.decode(errors="replace").replace("\x00", "\ufffd")
        retry_after_s = _seconds(answer.headers.get("retry-after", ""))
    return AttemptResult(
        started_at=started_at, duration_ms=round((time.perf_counter() - started) * 1000, 3), status=status,
        error=error, response=response, retry_after_s=retry_after_s,
    )  # fmt: skip


def _headers(endpoint: WebhookEndpoint, delivery: WebhookDelivery, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    return {
        "Content-Type": "application/json",
        TIMESTAMP: timestamp,
        SIGNATURE: signature_of(endpoint, timestamp, body),
        DELIVERY: str(delivery.pk),
    }


def _error_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if status == httpx.codes.GONE:
        return "endpoint_gone"
    return "redirected" if 300 <= status < 400 else f"http_{status}"


def _seconds(retry_after: str) -> float | None:
    """Return the seconds of a Retry-After header; one that names a date is left to the backoff."""
    return float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else None


def record(endpoint: WebhookEndpoint, delivery: WebhookDelivery, result: AttemptResult) -> None:
    """Store an attempt and what follows from it; what was erased during the attempt stays erased."""
    with transaction.atomic():
        row = WebhookDelivery.objects.select_for_update().filter(pk=delivery.pk).first()
        if row is None:  # its endpoint or its event was deleted meanwhile
            return
        response = "" if is_erased(Event.objects.only("payload").get(pk=row.event_id)) else result.response
        WebhookAttempt.objects.create(
            delivery=row, attempted_at=result.started_at, duration_ms=result.duration_ms, status=result.status,
            error=result.error, response=response,
        )  # fmt: skip
        row.attempts, row.status = row.attempts + 1, result.status
        if not result.error:
            row.delivered()
            endpoint.succeeded()
        elif result.error == "endpoint_gone":
            row.give_up(result.error)
            endpoint.retire()
            WebhookDelivery.objects.filter(endpoint=endpoint).exclude(pk=row.pk).give_up(result.error)
        else:
            if row.state in WebhookDelivery.WAITING:
                row.failed(result.error, result.retry_after_s)
            endpoint.failed(result.retry_after_s)
        row.save()
