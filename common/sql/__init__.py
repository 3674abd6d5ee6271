"""SQL that the ORM has no words for, or takes longer to write; where it saves time, its module says how much."""
