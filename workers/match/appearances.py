"""Merges tracks into appearances: who is seen from when to when."""

from collections.abc import Iterable, Sequence

from common.records import Appearance, Track
from workers.match.attributes import mean_attributes


def absence_ms(configured_ms: int, sample_fps: float | None) -> int:
    """Longest absence inside an appearance: as configured, but never less than between two samples."""
    return max(configured_ms, int(1500 / sample_fps)) if sample_fps else configured_ms


def merge_tracks(tracks: Sequence[Track], *, max_gap_ms: int) -> list[Appearance]:
    """Join the tracks of one person that overlap or follow each other closely.

    Args:
        tracks: decided; each has a subject or a stranger's number.
        max_gap_ms: an absence up to this long, inclusive, does not end an appearance.

    Returns:
        In order of their start; at equal starts known people first.
    """
    people: dict[tuple[str, int], list[Track]] = {}
    for track in sorted(tracks, key=lambda track: (track.start_ms, track.track)):
        people.setdefault((track.subject_id or "", track.stranger or 0), []).append(track)
    runs = [run for mine in people.values() for run in _runs(mine, max_gap_ms)]
    runs.sort(key=lambda run: (run[0].start_ms, run[0].subject_id is None, run[0].track))
    return [_appearance(number, run) for number, run in enumerate(runs)]


def _runs(tracks: Iterable[Track], max_gap_ms: int) -> list[list[Track]]:
    runs: list[list[Track]] = []
    end_ms = 0
    for track in tracks:
        if runs and track.start_ms - end_ms <= max_gap_ms:
            runs[-1].append(track)
            end_ms = max(end_ms, track.end_ms)
        else:
            runs.append([track])
            end_ms = track.end_ms
    return runs


def _appearance(number: int, run: Sequence[Track]) -> Appearance:
    first = run[0]
    known = first.subject_id is not None
    similarities = [track.similarity for track in run if track.similarity is not None]
    best = max(run, key=lambda track: (track.similarity or 0.0 if known else 0.0, track.quality, -track.track))
    return Appearance(
        appearance=number,
        subject_id=first.subject_id,
        stranger=first.stranger,
        start_ms=first.start_ms,
        end_ms=max(track.end_ms for track in run),
        best_similarity=max(similarities) if known and similarities else None,
        detections=sum(track.detections for track in run),
        best_track=best.track,
        attributes=mean_attributes((track.attributes, track.detections) for track in run),
    )
