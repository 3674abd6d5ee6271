"""Requests that may be sent twice: `Idempotency-Key`, as the IETF's draft describes it.

Own code, because the libraries for Django (django-idempotency-key, drf-idempotency, drf-idempotencykey) are
synchronous, hold a thread or a lock while the second request waits, have no answer to a process that dies in between,
and do not store streams.
"""
