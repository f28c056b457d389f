"""The Celery pools: one folder a stage, plus housekeeping, which schedules, reaps and sweeps."""
