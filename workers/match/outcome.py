"""The final state of a job from the fate of its segments."""

from typing import Any

from common.contracts import JobState
from common.records import FinishedJob


def final_state(job: FinishedJob) -> tuple[JobState, dict[str, Any] | None]:
    """State and error document.

    Returns:
        `succeeded` without error when no segment failed; `failed` with the first error when none was processed; else
        `partial`, whose error lists the time ranges that are missing, touching ranges of one code joined.
    """
    if not job.failures:
        return JobState.SUCCEEDED, None
    first = job.failures[0][2]
    if job.segments_done == 0:
        return JobState.FAILED, first
    ranges: list[dict[str, Any]] = []
    for start_ms, end_ms, error in job.failures:
        if ranges and ranges[-1]["end_ms"] == start_ms and ranges[-1]["code"] == error["code"]:
            ranges[-1]["end_ms"] = end_ms
        else:
            ranges.append({"start_ms": start_ms, "end_ms": end_ms, **error})
    share = f"{len(job.failures)} of {len(job.failures) + job.segments_done} segments failed"
    return JobState.PARTIAL, {"code": first["code"], "message": f"{share}: {first['message']}", "ranges": ranges}
