"""Predecessors 002 and 003 on the wire, on the real database and broker; pools say what the picture tells them to."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import Client, TestResponse

from api.compat import open_ports
from api.compat.face_table import init_db, samples
from api.compat.face_table.answers import RefusedError
from api.compat.face_table.recognition import read_bound
from api.compat.mount import Mount
from api.services import Services
from common.contracts import CallRef, Message
from common.settings import Settings
from common.store.galleries import Galleries
from tests.unit.api.conftest import MIN_SIMILARITY, MODEL_ID, write_pack
from tests.unit.api.requests import a_face, a_file, stored_files

MAIN, NODE, SMARTAV = "http://127.0.0.1:6337", "http://127.0.0.1:5000", "http://127.0.0.1:5000/face-recognition"
INVALID = {"error": "Invalid request."}
DATABASE = {"host": "h", "db_name": "d", "username": "u", "password": "p"}


class Caller(Client):
    """A client of whole URLs: what the port is decides who answers."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        url = urlsplit(args[0])
        path = url._replace(scheme="", netloc="").geturl()
        return super().open(path, base_url=f"{url.scheme}://{url.netloc}", **kwargs)


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """These predecessors alone, without a database."""
    write_pack(tmp_path / "models" / "test-pack")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": "postgresql://127.0.0.1:1/none",
            "redis_url": redis_url,
            "model_pack": "test-pack",
            "compat": "002,003",
            "compat_max_body_bytes": 1 << 20,
            "api": {"call_timeout_s": 20},
        }
    )


@pytest.fixture
def mount(make: Callable[..., Mount], database_url: str) -> Mount:
    """On a database."""
    return make(database_url=database_url)


@pytest.fixture
def client(mount: Mount) -> Caller:
    return Caller(mount, TestResponse)


@pytest.fixture
def away(make: Callable[..., Mount]) -> Caller:
    """The same without a database."""
    return Caller(make(), TestResponse)


def picture(*faces: dict[str, Any]) -> dict[str, Any]:
    return {"width_px": 100, "height_px": 100, "model_id": MODEL_ID, "faces": list(faces)}


def refused(code: str) -> dict[str, Any]:
    return {"error": [code, "why"]}


def an_image(document: dict[str, Any]) -> str:
    """The picture that makes the pools answer with the document."""
    return f"data:image/png;base64,{base64.b64encode(json.dumps(document).encode()).decode()}"


def a_sample(sample_id: Any, document: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    image = an_image(picture(a_face()) if document is None else document)
    return {"id": sample_id, "name": "n", "image": image, "metadata": "m", "action": "x", **changes}


def check_json(answer: TestResponse, document: Any, status: int = 200) -> None:
    assert (answer.status_code, answer.get_json()) == (status, document)
    assert answer.text == json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"
    assert answer.headers["Content-Type"] == "application/json"


def check_text(answer: TestResponse, text: str, status: int = 200) -> None:
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


def subject_ids(services: Services) -> dict[str, str]:
    """Id in the table to id of the subject."""
    page = services.galleries.list_subjects("compat-faces", external_id=None, cursor=None, limit=100)
    return {row["external_id"]: str(row["id"]) for row in page.items}


def seen(services: Services, **similarities: float) -> dict[str, Any]:
    """A picture of a face that is so similar to people of the table."""
    ids = subject_ids(services)
    candidates = [{"subject_id": ids[name], "similarity": value} for name, value in similarities.items()]
    return a_face(candidates=candidates, box=[10.9, 5.2, 40.9, 44.7])


def test_banners(away: Caller) -> None:
    check_text(away.get(f"{MAIN}/"), "<h1 style='color:red'>Face detection server is running!</h1>")
    check_text(away.get(f"{NODE}/"), "<h1 style='color:blue'>Feature extraction server is running!</h1>")
    loaded = "<h1 style='color:blue'>Feature extraction model has been loaded.</h1>"
    check_text(away.get(f"{NODE}/load_model"), loaded)


@pytest.mark.parametrize("path", ["/update-samples", "/face-recognition", "/face-recognition/update-samples"])
def test_a_get_on_a_post_route_says_that_it_runs(path: str, away: Caller) -> None:
    base = NODE if path.count("/") > 1 else MAIN
    check_text(away.get(f"{base}{path}"), "Face detection server is running.")


@pytest.mark.parametrize("base", [MAIN, SMARTAV])
@pytest.mark.parametrize("missing", DATABASE)
def test_config_database_names_the_first_missing_field(base: str, missing: str, away: Caller) -> None:
    fields = list(DATABASE)
    given = {field: DATABASE[field] for field in fields[: fields.index(missing)]}
    check_text(away.get(f"{base}/config-database", json=given), f'"{missing}" is missing.', 400)


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'"x"', b"[" * 5000])
def test_config_database_without_an_object(body: bytes, away: Caller) -> None:
    check_text(away.get(f"{MAIN}/config-database", data=body), '"host" is missing.', 400)


def test_config_database_tries_our_own_database(client: Caller, away: Caller) -> None:
    check_text(client.get(f"{MAIN}/config-database", json=DATABASE), "Database configuration is done.")
    check_text(away.get(f"{MAIN}/config-database", json=DATABASE), "Database configuration is failed.", 500)
    text = "Database configuration is failed. Failed to create tables for face recognition module."
    check_text(away.post(f"{SMARTAV}/config-database", json=DATABASE), text, 500)


def test_what_they_say_without_a_database(away: Caller) -> None:
    image = an_image(picture())
    check_json(away.get(f"{MAIN}/clear-samples"), {"fail": "Couldn't connect to database"}, 500)
    check_json(away.get(f"{SMARTAV}/clear-samples"), {"error": "Failed to clear the existing samples"}, 500)
    for base in (MAIN, SMARTAV):
        answer = away.post(f"{base}/update-samples", json=[a_sample("a")])
        check_json(answer, {"error": "Database Connection Error"}, 400)
    text = "Couldn't get sample data, it seems like there is no database connection."
    check_json(away.post(f"{MAIN}/face-recognition", json={"image": image}), {"error": text}, 500)
    answer = away.post(f"{SMARTAV}/update-metadata/a", json={"name": "n", "metadata": "m"})
    check_json(answer, {"error": "DB connection error occurred"}, 500)


def test_what_they_say_without_pools(make: Callable[..., Mount], settings: Settings, database_url: str) -> None:
    api = settings.api.model_copy(update={"call_timeout_s": 0.05})
    client = Caller(make(database_url=database_url, api=api), TestResponse)
    check_json(client.post(f"{MAIN}/update-samples", json=[a_sample("a")]), {"success": [], "fail": ["a"]})
    answer = client.post(f"{MAIN}/face-recognition", json={"image": an_image(picture())})
    check_json(answer, {"error": "Feature extraction node is not running."}, 500)


@pytest.mark.parametrize("base", [MAIN, SMARTAV])
@pytest.mark.parametrize("missing", ["id", "name", "image", "metadata", "action"])
def test_a_sample_without_a_field_refuses_the_request(base: str, missing: str, away: Caller) -> None:
    sample = a_sample("a")
    del sample[missing]
    check_json(away.post(f"{base}/update-samples", json=[a_sample("b"), sample]), INVALID, 400)


@pytest.mark.parametrize("body", [b"", b"{}", b"7", b'"x"', b"[[]]", b"[7]", b"nonsense", b"[" * 5000, b"\xff"])
def test_samples_must_be_an_array_of_objects(body: bytes, away: Caller) -> None:
    check_json(away.post(f"{MAIN}/update-samples", data=body), INVALID, 400)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{}", b'{"min_distance": 0.3}', b"nonsense", b"\xff"])
def test_recognition_needs_an_object_with_an_image(body: bytes, away: Caller) -> None:
    check_json(away.post(f"{MAIN}/face-recognition", data=body), INVALID, 400)


def test_a_body_beyond_the_limit(away: Caller) -> None:
    answer = away.post(f"{MAIN}/update-samples", data=b"[" + b" " * (1 << 20))
    assert answer.status_code == 413
    assert list(answer.get_json()) == ["error"]


def test_ids_are_echoed_as_they_were_sent(client: Caller, pool: list[Message]) -> None:
    ids = [1, 2.5, "3", "o'brien", None, ["x"], {"y": 1}, "", "z" * 201, "n\0l", "\ud800"]
    answer = client.post(f"{MAIN}/update-samples", json=[a_sample(one) for one in ids])
    check_json(answer, {"success": ids[:4], "fail": ids[4:]})
    assert len(pool) == 4
    assert all(message.ref.until == "embed" for message in pool if isinstance(message.ref, CallRef))


def test_an_empty_array_is_fine(client: Caller) -> None:
    check_json(client.post(f"{MAIN}/update-samples", json=[]), {"success": [], "fail": []})


def test_pictures_that_fail_leave_the_others_alone(client: Caller, pool: list[Message]) -> None:
    sent = [
        a_sample("none", picture()),
        a_sample("bad", refused("bad_media")),
        a_sample("many", picture(a_face(det_score=0.9), a_face(det_score=0.8))),
        a_sample("tiny", picture(a_face(box=[0, 0, 3, 3], sharpness=0.0, frontality=0.0))),
        a_sample("path", None, image="../../etc/passwd"),
    ]
    answer = client.post(f"{MAIN}/update-samples", json=sent)
    check_json(answer, {"success": ["many", "tiny"], "fail": ["none", "bad", "path"]})


def test_a_batch_after_the_other(client: Caller, pool: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "BATCH", 2)
    ids = list("abcde")
    answer = client.post(f"{MAIN}/update-samples", json=[a_sample(one) for one in ids])
    check_json(answer, {"success": ids, "fail": []})
    assert len(pool) == 5


def test_texts_that_are_none_become_texts(client: Caller, services: Services, pool: list[Message]) -> None:
    client.post(f"{MAIN}/update-samples", json=[a_sample("a", name=7, metadata={"k": [1]}, action=None)])
    answer = client.post(f"{MAIN}/face-recognition", json={"image": an_image(picture(seen(services, a=0.9)))})
    check_json(answer, [{"bbox": "10, 5, 30, 39", "id": "a", "metadata": '{"k": [1]}', "name": "7"}])


def test_crops_are_kept_with_their_samples_and_go_with_them(
    client: Caller,
    services: Services,
    pool: list[Message],
) -> None:
    home = services.settings.home
    for _ in range(2):
        client.post(f"{MAIN}/update-samples", json=[a_sample("a"), a_sample("b")])
        assert len(stored_files(home)) == 2
    client.post(f"{SMARTAV}/update-samples", json=[a_sample("a"), a_sample("a", picture(a_face(), a_face()))])
    assert len(stored_files(home)) == 3
    client.get(f"{MAIN}/clear-samples")
    assert stored_files(home) == []


def test_who_is_closest_wins_and_of_equals_who_came_first(
    client: Caller,
    services: Services,
    pool: list[Message],
) -> None:
    client.post(f"{MAIN}/update-samples", json=[a_sample(one) for one in "cab"])

    def ids(**similarities: float) -> list[str]:
        image = an_image(picture(seen(services, **similarities)))
        answer = client.post(f"{MAIN}/face-recognition", json={"image": image, "min_distance": 0.3})
        return [candidate["id"] for candidate in answer.get_json()]

    assert ids(a=0.5, b=0.6, c=0.4) == ["b"]
    assert ids(a=0.6, b=0.6, c=0.4) == ["a"]
    assert ids(a=0.6, b=0.6, c=0.6) == ["c"]


def test_a_sample_matches_when_it_is_more_similar_than_min_distance(
    client: Caller,
    services: Services,
    pool: list[Message],
) -> None:
    cases = [
        (0.3, 0.31, True),
        (0.3, 0.3, False),
        ("0.3", 0.31, True),
        (" 3e-1 ", 0.31, True),
        (None, MIN_SIMILARITY + 0.01, True),
        (None, MIN_SIMILARITY, False),
        (0.99, 0.98, False),
        (1, 1.0000001, False),
        (-1, -1.0, False),
        (-1.1, -1.0, True),
    ]
    found = []
    for bound, similarity, _ in cases:
        client.get(f"{MAIN}/clear-samples")
        client.post(f"{MAIN}/update-samples", json=[a_sample("a")])
        sent = {"image": an_image(picture(seen(services, a=similarity)))}
        (candidate,) = client.post(
            f"{MAIN}/face-recognition", json=sent if bound is None else {**sent, "min_distance": bound}
        ).get_json()
        found.append((bound, similarity, candidate["id"]))
    assert found == [
        (bound, similarity, "a" if is_known else "unknown_person_1") for bound, similarity, is_known in cases
    ]


def test_a_bound_of_the_gallery_holds_where_the_client_says_none(
    client: Caller,
    services: Services,
    pool: list[Message],
) -> None:
    services.galleries.create("00000000-0000-0000-0000-000000000001", "compat-faces", MODEL_ID, 0.8)
    client.post(f"{MAIN}/update-samples", json=[a_sample("a")])
    image = an_image(picture(seen(services, a=0.7)))
    (candidate,) = client.post(f"{MAIN}/face-recognition", json={"image": image}).get_json()
    assert candidate["id"] == "unknown_person_1"


@pytest.mark.parametrize("value", ["x", "", "nan", "inf", None, True, [0.3], {}, float("nan"), float("inf"), 10**400])
def test_a_min_distance_that_is_no_number(value: Any) -> None:
    with pytest.raises(RefusedError, match="Invalid request"):
        read_bound({"min_distance": value})


def test_a_min_distance_that_is_no_number_on_the_wire(away: Caller) -> None:
    for text in ('"x"', "NaN", "Infinity"):
        body = f'{{"image": "{an_image(picture())}", "min_distance": {text}}}'
        check_json(away.post(f"{MAIN}/face-recognition", data=body), INVALID, 400)


def test_a_face_that_may_be_none_gets_no_number(
    client: Caller,
    services: Services,
    pool: list[Message],
    settings: Settings,
) -> None:
    manifest = settings.home / "models" / "test-pack" / "manifest.json"
    assert json.loads(manifest.read_text())["files"][0]["min_det_score"] == 0.5
    sure, doubtful = a_face(det_score=0.5, candidates=[]), a_face(det_score=0.49, candidates=[])
    image = an_image(picture(sure, doubtful))
    (candidate,) = client.post(f"{MAIN}/face-recognition", json={"image": image}).get_json()
    assert candidate["id"] == "unknown_person_1"
    assert list(subject_ids(services)) == ["unknown_person_1"]


def test_strangers_are_left_out_where_they_are_not_registered(
    make: Callable[..., Mount],
    services: Services,
    pool: list[Message],
) -> None:
    client = Caller(make(database_url=services.settings.database_url, compat_register_unknown=False), TestResponse)
    image = an_image(picture(a_face(candidates=[])))
    answer = client.post(f"{MAIN}/face-recognition", json={"image": image})
    check_json(answer, {"error": "There is no sample face data."}, 500)
    client.post(f"{MAIN}/update-samples", json=[a_sample("a")])
    check_json(client.post(f"{MAIN}/face-recognition", json={"image": image}), [])
    assert list(subject_ids(services)) == ["a"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (picture(), "No face detected from the input image."),
        (refused("bad_media"), "Failed to detect face from the input image"),
        (refused("unavailable"), "Feature extraction node is not running."),
    ],
)
def test_a_picture_without_an_answer(
    document: dict[str, Any],
    text: str,
    client: Caller,
    pool: list[Message],
) -> None:
    check_json(client.post(f"{MAIN}/face-recognition", json={"image": an_image(document)}), {"error": text}, 500)


def test_metadata_of_ids_of_any_text(client: Caller, services: Services, pool: list[Message]) -> None:
    sent = {"name": "Ann's", "metadata": "'; --"}
    for sample_id in ("o'brien", "a/b", "'); DROP TABLE x;--", "名前", "..%2Fx"):
        client.post(f"{SMARTAV}/update-samples", json=[a_sample(sample_id)])
        answer = client.post(f"{SMARTAV}/update-metadata/{sample_id.replace('%', '%25')}", json=sent)
        check_json(answer, {"success": f'"{sample_id}" has been configured successfully.'})
        image = an_image(picture(seen(services, **{sample_id: 0.9})))
        (candidate,) = client.post(SMARTAV, json={"image": image}).get_json()
        assert (candidate["id"], candidate["name"], candidate["metadata"]) == (sample_id, "Ann's", "'; --")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", '"name" is missing in the request.'),
        (b"[]", '"name" is missing in the request.'),
        (b'{"metadata": "m"}', '"name" is missing in the request.'),
        (b'{"name": "n"}', '"metadata" is missing in the request.'),
        (b'{"name": "n", "metadata": "m"}', 'Could not find "a" in database.'),
        (b'{"name": "\\u0000", "metadata": "m"}', "Invalid request."),
    ],
)
def test_metadata_that_is_refused(body: bytes, text: str, client: Caller) -> None:
    check_json(client.post(f"{SMARTAV}/update-metadata/a", data=body), {"error": text}, 400)


@pytest.mark.parametrize("path", ["/clear-samples", "/config-database"])
@pytest.mark.parametrize("base", [MAIN, SMARTAV])
def test_a_picture_in_a_page_of_another_site_does_nothing(
    base: str,
    path: str,
    client: Caller,
    services: Services,
    pool: list[Message],
) -> None:
    client.post(f"{MAIN}/update-samples", json=[a_sample("a")])
    answer = client.get(f"{base}{path}", headers={"Sec-Fetch-Site": "cross-site"}, json=DATABASE)
    assert answer.status_code == 400
    assert list(subject_ids(services)) == ["a"]


def test_every_effect_and_every_search_is_in_the_audit(
    client: Caller,
    services: Services,
    pool: list[Message],
) -> None:
    client.get(f"{SMARTAV}/config-database", json=DATABASE)
    client.post(f"{SMARTAV}/update-samples", json=[a_sample("a")])
    client.post(SMARTAV, json={"image": an_image(picture(seen(services, a=0.9), a_face(candidates=[])))})
    client.post(f"{SMARTAV}/update-metadata/a", json={"name": "n", "metadata": "m"})
    ids = subject_ids(services)
    client.get(f"{SMARTAV}/clear-samples")
    lines = services.audit.list(cursor=None, limit=10).items
    assert {line["gallery"] for line in lines} == {"compat-faces"}
    told = [(line["action"], sorted(map(str, line["subject_ids"]))) for line in reversed(lines)]
    assert told == [
        ("enroll", [ids["a"]]),
        ("search", [ids["a"]]),
        ("enroll", [ids["unknown_person_1"]]),
        ("change_subject", [ids["a"]]),
        ("delete_subject", sorted(ids.values())),
    ]


def crops(*documents: dict[str, Any]) -> list[Any]:
    return [a_file(json.dumps(document).encode(), "crop.png") for document in documents]


def test_vectors_of_crops(client: Caller, pool: list[Message]) -> None:
    small, large = a_face(box=[0, 0, 9, 9], embedding=[0.0, 1.0]), a_face(box=[0, 0, 50, 50], embedding=[1.0, 0.0])
    files = crops(picture(small, large), picture(), refused("bad_media"))
    face_data = json.dumps([{"id": "a"}, {"id": 2, "more": 1}, {"id": None}])
    answer = client.post(f"{NODE}/extract_feature", data={"face_data": face_data, "image": files})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    first, *others = json.loads(answer.text)
    assert first == {"id": "a", "vector": [1.0] + [0.0] * 511}
    assert others == [{"id": 2, "vector": []}, {"id": None, "vector": []}]


@pytest.mark.parametrize("face_data", ["", "{}", "[]", "[7]", '[{"name": 1}]', '[{"id": 1}, {"id": 2}]', "nonsense"])
def test_crops_and_ids_must_be_as_many(face_data: str, away: Caller) -> None:
    sent = {"face_data": face_data, "image": crops(picture())}
    answer = away.post(f"{NODE}/extract_feature", data=sent)
    assert answer.status_code == 400
    assert list(answer.get_json()) == ["error"]


def test_the_port_of_the_api_is_left_to_the_api() -> None:
    everything = Settings.model_validate({"compat": "002,003"})
    assert everything.port == 8000
    assert open_ports(everything) == (5000, 6337)
    assert open_ports(everything.model_copy(update={"port": 8080})) == (5000, 6337, 8000)
    assert open_ports(everything.model_copy(update={"compat_port_offset": 1})) == (5001, 6338, 8001)


class TestInitDb:
    FLAGS = ("-H", "elsewhere", "-P", "5432", "-d", "FaceRecognition", "-u", "postgres", "-p", "secret")
    LONG = ("--Host", "h", "--Port", "1", "--Dbname", "d", "--Username", "u", "--Password", "p")

    @pytest.fixture(autouse=True)
    def _settings(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FACEPIPE_HOME", str(settings.home))
        monkeypatch.setenv("FACEPIPE_MODEL_PACK", settings.model_pack)
        monkeypatch.setenv("FACEPIPE_DATABASE_URL", settings.database_url)

    @pytest.fixture
    def there(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FACEPIPE_DATABASE_URL", database_url)

    def test_it_makes_the_table(self, there: None, services: Services, capsys: pytest.CaptureFixture[str]) -> None:
        for flags in (self.FLAGS, self.LONG):
            assert init_db.main(flags) == 0
            assert capsys.readouterr().out == "Database has been initialized successfully\n"
        assert Galleries(services.database).get("compat-faces")["model_id"] == MODEL_ID

    def test_rows_survive(self, there: None, client: Caller, services: Services, pool: list[Message]) -> None:
        client.post(f"{MAIN}/update-samples", json=[a_sample("a")])
        for _ in range(2):
            init_db.main(self.FLAGS)
        assert list(subject_ids(services)) == ["a"]
        with services.database.transaction() as cursor:
            cursor.execute("select sample_id, vector from sample_face_vectors")
            assert [row["sample_id"] for row in cursor.fetchall()] == ["a"]

    @pytest.mark.parametrize("missing", range(5))
    def test_a_missing_flag_is_named(self, missing: int, capsys: pytest.CaptureFixture[str]) -> None:
        names = ("-H/--Host", "-P/--Port", "-d/--Dbname", "-u/--Username", "-p/--Password")
        flags = [flag for i, flag in enumerate(self.FLAGS) if i // 2 != missing]
        assert init_db.main(flags) == 0
        said = f"{names[missing]}: expected one argument\nDatabase initialization failed\n"
        assert capsys.readouterr().out == said

    def test_a_database_that_is_away(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("FACEPIPE_DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/none")
        assert init_db.main(self.FLAGS) == 0
        said = capsys.readouterr().out
        assert said.endswith("\nDatabase Connection Failed\nDatabase initialization failed\n")
        assert "secret" not in said

    def test_no_stack(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.delenv("FACEPIPE_DATABASE_URL")
        assert init_db.main(self.FLAGS) == 0
        said = capsys.readouterr().out
        assert "make up" in said
        assert said.endswith("\nDatabase initialization failed\n")
