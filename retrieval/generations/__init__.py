"""Generations: build, compare, switch, verify and drop the embeddings of an index."""
