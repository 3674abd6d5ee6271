"""The table of document frequencies: the number of chunks of a generation that contain each lexeme."""

from django.db import models
from django.db.models import Q


class LexemeCount(models.Model):
    """A count, or a change of a count: the frequency of a lexeme is the sum of its rows.

    Triggers of the chunk table write a row for each lexeme that a statement adds or removes, so writers never
    wait for one another and the counts are exact in every snapshot; `retrieval.search.lexemes` merges the rows.
    The empty lexeme counts the chunks themselves, and their length in lexemes.
    """

    generation = models.ForeignKey(
        "retrieval.Generation", on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    lexeme = models.TextField()
    chunk_count = models.IntegerField()
    length = models.BigIntegerField(default=0)
    is_merged = models.BooleanField(default=False)

    class Meta:
        indexes = [
            # Serves the ranking's look-up of a query's lexemes.
            models.Index(fields=["generation", "lexeme"], include=["chunk_count"], name="lexeme_by_generation"),
            # Serves the merge, which reads the rows since the last one.
            models.Index(fields=["generation"], condition=Q(is_merged=False), name="lexeme_unmerged"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["generation", "lexeme"], condition=Q(is_merged=True), name="lexeme_merged_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.lexeme}: {self.chunk_count}"
