"""The closed list of what the pools count. `/metrics` shows each as `facepipe_<name>_total{stage="…"}`."""

from collections.abc import Mapping
from typing import Final, Literal

CounterName = Literal[
    "steps_done",
    "steps_retried",
    "steps_failed",
    "steps_dropped",
    "calls",
    "busy_seconds",
    "leases_expired",
    "steps_died",
    "steps_quarantined",
    "model_runs",
    "model_items",
]

COUNTERS: Final[Mapping[CounterName, str]] = {
    "steps_done": "Steps that a stage worked on to its end.",
    "steps_retried": "Attempts that ended in a transient error and are made again.",
    "steps_failed": "Steps whose error is final.",
    "steps_dropped": "Messages that were superseded, cancelled or delivered twice.",
    "calls": "Interactive calls that a stage worked on.",
    "busy_seconds": "Time that threads spent on steps and calls.",
    "leases_expired": "Leases that ran out, by the stage that held them.",
    "steps_died": "Steps whose worker died while it worked on them.",
    "steps_quarantined": "Steps given up because they killed their worker again and again.",
    "model_runs": "Runs of a network.",
    "model_items": "Frames or crops in these runs; divided by model_runs it is the batch size.",
}
