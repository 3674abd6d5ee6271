"""How long rows are kept: each app says it of its tables, and one task removes what is past it, a batch at a time."""

from common.retention.declaration import Batch, Bounded, Retained, bounded, kinds, retain, stays
from common.retention.pruning import prune, prune_kind

__all__ = [
    "Batch", "Bounded", "Retained", "bounded", "kinds", "prune", "prune_kind", "retain",
    "stays",
]  # fmt: skip
