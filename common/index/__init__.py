"""Exact search in memory: a disposable index that says which rows to look at, and proves that no other row matters."""
