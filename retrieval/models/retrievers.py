"""The mirror of declared retrievers."""

from django.db import models

from features.models import Definition


class RetrieverDefinition(Definition):
    index = models.CharField(max_length=200, blank=True)
    top_k = models.PositiveIntegerField()
    cache_ttl = models.DurationField(null=True, blank=True)
    filters = models.JSONField(default=dict, blank=True)

    class Meta(Definition.Meta):
        verbose_name = "retriever"
