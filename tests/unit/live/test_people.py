"""What is told of a picture, and what is counted."""

from datetime import UTC, datetime, timedelta

from deploy.live.people import Sight, Tally
from facepipe.documents import Faces

NOON = datetime(2026, 11, 21, 12, 0, 0, 5000, tzinfo=UTC)


def face(*names: str) -> dict[str, object]:
    candidates = [{"subject_id": f"id of {name}", "similarity": 0.71, "name": name} for name in names]
    return {"box": [1, 2, 3, 4], "det_score": 0.9, "landmarks": [[0, 0]] * 5, "candidates": candidates}


def sight(*faces: dict[str, object], number: int = 1, is_search: bool = True) -> Sight:
    return Sight(number, NOON, 7, Faces.from_wire({"faces": list(faces)}), is_search)


def test_nobody_is_told_as_nobody() -> None:
    assert sight().text() == "nobody"
    assert sight(is_search=False).text() == "nobody"
    assert sight().to_json() == {"frame": 1, "time": "2026-11-21T12:00:00.005Z", "faces": [], "skipped": 7}


def test_people_are_told_by_their_best_candidate() -> None:
    both = sight(face("Anna", "Bert"), face())
    assert both.text() == "Anna (0.71), unknown"
    assert both.names == ("Anna", "unknown")
    known, unknown = both.to_json()["faces"]
    assert known == {
        "box": [1, 2, 3, 4],
        "det_score": 0.9,
        "name": "Anna",
        "subject_id": "id of Anna",
        "similarity": 0.71,
    }
    assert (unknown["name"], unknown["subject_id"], unknown["similarity"]) == (None, None, None)


def test_without_a_gallery_faces_are_counted_and_nobody_is_called_unknown() -> None:
    two = sight(face(), face(), is_search=False)
    assert two.text() == "2 faces"
    assert two.to_json()["faces"][0] == {"box": [1, 2, 3, 4], "det_score": 0.9}


def test_presence_changes_when_somebody_comes_or_goes_and_not_by_their_order() -> None:
    assert sight(face("Anna"), face("Bert")).presence == sight(face("Bert"), face("Anna")).presence
    assert sight(face("Anna")).presence != sight(face("Anna"), face()).presence
    assert sight(face()).presence != sight().presence


def test_the_summary_counts_people_by_picture() -> None:
    tally = Tally(NOON)
    for faces in ([face("Anna"), face(), face()], [face("Anna")], []):
        tally.add(sight(*faces))
    said = tally.summary(NOON + timedelta(seconds=2), skipped=9, opened=1)
    assert said == (
        "0:00:02: 3 pictures looked at (1.5/s), 9 skipped, source opened 1 time; seen: Anna in 2, unknown in 1."
    )
    assert Tally(NOON).summary(NOON, skipped=0, opened=0).endswith("no face was seen.")
