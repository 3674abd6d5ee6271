"""Search: rank the chunks of an index for a query, by vectors and by words, in one SQL statement."""
