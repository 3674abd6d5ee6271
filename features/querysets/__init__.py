"""What follows where rows of a team's models change that features are computed from: their values are recomputed."""
