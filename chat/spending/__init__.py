"""What language models cost: prices, the calls that were made, and their sums."""
