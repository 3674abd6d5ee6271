"""How good retrieval is: public collections, and an index's own golden questions."""
