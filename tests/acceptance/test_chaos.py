"""Whatever is killed, an accepted job ends, with the answer of an undisturbed run, and nothing is left over.

The long version is `make chaos`.
"""

from pathlib import Path

from tests.chaos.faults import SHORT
from tests.chaos.run import run


def test_killed_programs_lost_data_and_doubled_messages_change_no_answer(tmp_path: Path) -> None:
    said: list[str] = []
    report = run(tmp_path, seed=1, jobs=1, faults=SHORT, say=said.append)
    assert report.wrong == [], "\n".join(said)
    assert sorted(recovery.fault for recovery in report.recoveries) == sorted(SHORT)
