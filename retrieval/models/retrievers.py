"""The table that mirrors declared retrievers."""

from django.db import models

from common.models import Definition


class RetrieverDefinition(Definition):
    index = models.CharField(max_length=200, blank=True)
    top_k = models.PositiveIntegerField()
    cache_ttl = models.DurationField(null=True, blank=True)
    filters = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True, help_text="Search options beyond those of the index.")

    class Meta(Definition.Meta):
        verbose_name = "retriever"
