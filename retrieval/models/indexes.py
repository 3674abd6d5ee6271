"""The tables of indexes and their generations."""

from functools import cache

from django.db import connection, models

from common.sql.statements import planned_cursor


class IndexManager(models.Manager["Index"]):
    def named(self, name: str) -> "Index | None":
        """Return an index with its serving generation, or None; every search calls this."""
        with planned_cursor() as cursor:
            cursor.execute(_named_sql(), [str(name)])
            row = cursor.fetchone()
        if row is None:
            return None
        own, others = _fields(Index), _fields(Generation)
        index = Index.from_db(connection.alias, own, row[: len(own)])
        if index.generation_id is not None:
            index.generation = Generation.from_db(connection.alias, others, row[len(own) :])
        return index


@cache
def _fields(model: type[models.Model]) -> list[str]:
    # A raw cursor returns JSON as text; these fields are deferred, so Django reads them when they are accessed.
    return [field.attname for field in model._meta.concrete_fields if not isinstance(field, models.JSONField)]


@cache
def _named_sql() -> str:
    # Raw SQL, since the ORM takes longer to compile the query than PostgreSQL to execute it.
    columns = [f'i."{name}"' for name in _fields(Index)] + [f'g."{name}"' for name in _fields(Generation)]
    return (
        f"SELECT {', '.join(columns)} FROM retrieval_index i "
        "LEFT JOIN retrieval_generation g ON g.id = i.generation_id WHERE i.name = %s"
    )


class Index(models.Model):
    """A named collection of documents; `version` increases with every commit that changes what a search finds."""

    class Mode(models.TextChoices):
        HYBRID = "hybrid"
        SEMANTIC = "semantic"
        LEXICAL = "lexical"

    class Fusion(models.TextChoices):
        WEIGHTED = "weighted", "weighted sum of both scores"
        RRF = "rrf", "reciprocal ranks"

    name = models.CharField(max_length=200, unique=True)
    language = models.CharField(
        max_length=40, default="english", help_text="The text-search configuration of the lexical leg."
    )
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.HYBRID, help_text="The legs of a search.")
    fusion = models.CharField(max_length=10, choices=Fusion, default=Fusion.WEIGHTED)
    lexical_weight = models.FloatField(
        default=0.75, help_text="What a perfect match of the words is worth beside a cosine of 1."
    )
    rerank = models.BooleanField(default=False, help_text="Have the reranker of the settings read the best hits again.")
    version = models.BigIntegerField(default=0)
    chunk_count = models.BigIntegerField(default=0)
    generation = models.ForeignKey(
        "retrieval.Generation",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The generation that serves searches.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = IndexManager()

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "indexes"

    def __str__(self) -> str:
        return self.name


class Generation(models.Model):
    """One embedding of an index: a model, its dimension, and the chunks embedded with it.

    The index names the generation that serves searches; the others are kept up to date.
    """

    class State(models.TextChoices):
        BUILDING = "building", "being built"
        READY = "ready"
        DROPPING = "dropping", "being dropped"

    index = models.ForeignKey(Index, on_delete=models.CASCADE, related_name="generations")
    embedder = models.CharField(max_length=200, blank=True, help_text="What runs the model; empty: as in the settings.")
    embedding_model = models.CharField(max_length=200)
    dimension = models.PositiveIntegerField()
    max_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="The longest chunk, in the model's own tokens; empty: what the model reads."
    )
    state = models.CharField(max_length=10, choices=State, default=State.READY, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False, help_text="Documents to be built.")
    done = models.PositiveIntegerField(default=0, editable=False)
    error = models.TextField(blank=True, editable=False, help_text="Why the build waits.")
    comparison = models.JSONField(default=dict, blank=True, editable=False, help_text="With the one that served.")
    has_hnsw = models.BooleanField(
        "index built", default=False, help_text="Its HNSW and GIN stand; below 2,000 chunks searches are exact without."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    worked_at = models.DateTimeField(null=True, editable=False, help_text="When a worker last got on with it.")
    ready_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.index} #{self.pk} ({self.embedding_model})"
