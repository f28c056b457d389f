"""Interactive calls over HTTP; the pools are played by the `pool` fixture on the real broker."""

import uuid
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.services import Services
from common.contracts import Message, Options
from tests.unit.api.requests import a_bad_picture, a_face, a_file, a_picture, check_error, stored_files

CALLS = ["/v1/detect", "/v1/embeddings", "/v1/galleries/staff/search"]


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff", "min_similarity": 0.3})


@pytest.mark.usefixtures("pool")
def test_a_picture_without_faces_has_none(client: FlaskClient, tmp_path: Path) -> None:
    for url in CALLS:
        response = client.post(url, data={"image": a_file(a_picture())})
        assert response.status_code == 200
        assert response.get_json()["faces"] == []
    assert stored_files(tmp_path) == []


@pytest.mark.usefixtures("pool")
def test_each_call_shows_what_it_is_for_and_no_more(client: FlaskClient) -> None:
    picture = a_picture(a_face(candidates=[]))
    detected, embedded, searched = (client.post(url, data={"image": a_file(picture)}).get_json() for url in CALLS)
    assert set(detected["faces"][0]) == {"box", "det_score", "landmarks"}
    assert set(embedded["faces"][0]) == {"box", "det_score", "landmarks", "quality", "embedding"}
    assert embedded["model_id"] == "test-model"
    assert set(searched["faces"][0]) == {"box", "det_score", "landmarks", "candidates"}
    assert (searched["model_id"], searched["min_similarity"]) == ("test-model", 0.3)


@pytest.mark.parametrize("code", ["bad_media", "empty_file"])
@pytest.mark.usefixtures("pool")
def test_a_broken_picture_is_the_callers_fault(client: FlaskClient, tmp_path: Path, code: str) -> None:
    for url in CALLS:
        check_error(client.post(url, data={"image": a_file(a_bad_picture(code))}), 400, code, "image")
    assert stored_files(tmp_path) == []


@pytest.mark.usefixtures("pool")
def test_a_defect_in_a_pool_is_ours(client: FlaskClient) -> None:
    check_error(client.post("/v1/detect", data={"image": a_file(a_bad_picture("internal"))}), 500, "internal")
    check_error(client.post("/v1/detect", data={"image": a_file(a_bad_picture("unavailable"))}), 503, "unavailable")


def test_candidates_are_named_and_bounded_inclusively(
    client: FlaskClient, pool: list[Message], services: Services
) -> None:
    response = client.post(
        "/v1/galleries/staff/subjects",
        data={"name": "Ada", "metadata": '{"a": 1}', "images": [a_file(a_picture(a_face()))]},
    )
    ada = response.get_json()["id"]
    candidates = [{"subject_id": ada, "similarity": 0.3}, {"subject_id": str(uuid.uuid4()), "similarity": 0.9}]
    picture = a_picture(a_face(candidates=candidates))
    (face,) = client.post(CALLS[2], data={"image": a_file(picture)}).get_json()["faces"]
    assert face["candidates"] == [{"subject_id": ada, "name": "Ada", "similarity": 0.3, "metadata": {"a": 1}}]
    data = {"image": a_file(picture), "min_similarity": "0.31", "limit": "2"}
    document = client.post(CALLS[2], data=data).get_json()
    assert (document["faces"][0]["candidates"], document["min_similarity"]) == ([], 0.31)
    gallery_id = str(services.galleries.get("staff")["id"])
    assert pool[-1].options == Options(gallery_id=gallery_id, min_similarity=0.31, limit=2, model_id="test-model")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_similarity", "nan"),
        ("min_similarity", "inf"),
        ("min_similarity", "-1.01"),
        ("min_similarity", ""),
        ("min_similarity", "high"),
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "1.5"),
        ("gallery", "staff"),
    ],
)
def test_a_bad_option_of_a_search_is_refused_by_name(client: FlaskClient, field: str, value: str) -> None:
    check_error(client.post(CALLS[2], data={"image": a_file(), field: value}), 400, "bad_input", field)


def test_an_unknown_gallery_is_not_searched(client: FlaskClient) -> None:
    url = "/v1/galleries/absent/search"
    check_error(client.post(url, data={"image": a_file()}), 404, "not_found", "gallery")


@pytest.mark.usefixtures("pool")
def test_the_largest_faces_are_compared(client: FlaskClient) -> None:
    small = a_face(box=[0, 0, 20, 20], embedding=[0.0, 1.0])
    large = a_face(embedding=[0.6, 0.8])
    data = {"source": a_file(a_picture(small, large)), "target": a_file(a_picture(a_face()))}
    document = client.post("/v1/compare", data={**data, "min_similarity": "0.6"}).get_json()
    assert (document["similarity"], document["matched"], document["min_similarity"]) == (0.6, True, 0.6)
    assert document["source"]["box"] == large["box"]
    assert set(document["target"]) == {"box", "det_score", "landmarks"}


@pytest.mark.usefixtures("pool")
def test_a_comparison_without_a_face_names_the_picture(client: FlaskClient) -> None:
    data = {"source": a_file(a_picture(a_face())), "target": a_file(a_picture())}
    check_error(client.post("/v1/compare", data=data), 422, "no_face", "target")
    data = {"source": a_file(a_bad_picture("bad_media")), "target": a_file(a_picture())}
    check_error(client.post("/v1/compare", data=data), 400, "bad_media", "source")
