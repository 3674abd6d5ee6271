"""Budgets of what models cost, by day and by month: reserved before a call, and settled to what it cost."""
