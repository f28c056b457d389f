"""The process that nobody sees: it sends what is pending, finds what died, sweeps what was left, tells who waits."""
