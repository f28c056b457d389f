"""The process that nobody sees: it sends what is pending, finds what died, and sweeps what was left behind."""
