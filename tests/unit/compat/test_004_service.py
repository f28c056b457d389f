"""Predecessor 004 on the wire, on the real database and broker; the pools say what the picture tells them to."""

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from api.compat.mount import Mount
from api.compat.nearest_photo.album import GALLERY, distance_of
from api.compat.nearest_photo.folder import photographs_in, take_up
from api.compat.nearest_photo.names import check_name, person_of
from api.services import Services
from common.contracts import STAGES, Message
from common.errors import BadInputError, ConfigurationError
from common.settings import Settings
from tests.unit.api.conftest import MIN_SIMILARITY, MODEL_ID, write_pack
from tests.unit.api.requests import a_face, stored_files

URL = "http://127.0.0.1:5000"


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """This predecessor alone, on a database."""
    write_pack(tmp_path / "models" / "test-pack")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": database_url,
            "redis_url": redis_url,
            "model_pack": "test-pack",
            "compat": "004",
            "api": {"max_image_bytes": 5000, "call_timeout_s": 20},
        }
    )


@pytest.fixture
def client(mount: Mount) -> Client:
    return Client(mount, TestResponse)


def shows(*faces: dict[str, Any], note: str = "") -> bytes:
    """A picture of 96 x 96 pixels; `note` makes its bytes differ."""
    return json.dumps({"width_px": 96, "height_px": 96, "model_id": MODEL_ID, "faces": faces, "note": note}).encode()


NO_PICTURE = json.dumps({"error": ["bad_media", "It is text."]}).encode()


def register(client: Client, name: str, picture: bytes) -> TestResponse:
    return client.post(f"/user/{name}", base_url=URL, data=picture, content_type="image/jpeg")


def detect(client: Client, picture: bytes, **options: Any) -> TestResponse:
    return client.post("/detect", base_url=URL, data=picture, content_type="image/jpeg", **options)


def subjects(services: Services) -> dict[str, dict[str, Any]]:
    """External id to subject."""
    page = services.galleries.list_subjects(GALLERY, external_id=None, cursor=None, limit=100)
    return {row["external_id"]: row for row in page.items}


def crops(settings: Settings) -> list[str]:
    return [key for key in stored_files(settings.home) if key.startswith("galleries/")]


def embedding_of(services: Services, sample_id: str) -> list[float]:
    with services.database.transaction() as cursor:
        cursor.execute("select embedding::text from sample_embeddings where sample_id = %s", (sample_id,))
        numbers: list[float] = json.loads(cursor.fetchone()["embedding"])
        return numbers


def test_it_says_success_once_faces_can_be_recognised(client: Client, services: Services) -> None:
    answer = client.get("/test", base_url=URL)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    for name in (*STAGES, "housekeeping"):
        services.workers.seen(f"{name}@host", name, threads=1, device="cpu", model_ids=[])
    answer = client.get("/test", base_url=URL)
    assert (answer.status_code, answer.text) == (200, '{"message": "test success"}')
    assert answer.mimetype == "text/html"


def test_a_registered_photograph_is_a_sample_of_the_person(
    client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    answer = register(client, "anna_maria_2", shows(a_face()))
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.text == '{"dist": "0", "message": "image received. size=96x96", "name": "anna_maria_2"}'
    assert pool[0].whole_picture
    (subject,) = subjects(services).values()
    assert (subject["name"], subject["external_id"], subject["sample_count"]) == ("anna_maria", "anna_maria", 1)
    assert list(subject["metadata"]["photos"]) == ["anna_maria_2"]
    assert len(crops(settings)) == 1
    assert [line["action"] for line in services.audit.list(cursor=None, limit=9).items] == ["enroll", "create_gallery"]


def test_a_name_registered_again_is_replaced_and_another_number_is_added(
    client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    assert register(client, "thomas_1", shows(a_face())).status_code == 200
    assert register(client, "thomas_2", shows(a_face(), note="2")).status_code == 200
    kept = subjects(services)["thomas"]["metadata"]["photos"]["thomas_2"]
    assert register(client, "thomas_1", shows(a_face(embedding=[0.0, 1.0]))).status_code == 200
    (thomas,) = subjects(services).values()
    photos = thomas["metadata"]["photos"]
    assert thomas["sample_count"] == len(crops(settings)) == 2
    assert photos["thomas_2"] == kept
    assert embedding_of(services, photos["thomas_1"]["sample_id"]) == [0, 1]


def test_one_picture_under_two_names_is_one_sample_until_both_have_another(
    client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    for name, note in (("t_1", "same"), ("t_2", "same"), ("t_1", "same"), ("t_1", "other")):
        assert register(client, name, shows(a_face(), note=note)).status_code == 200
    photos = subjects(services)["t"]["metadata"]["photos"]
    assert photos["t_1"]["sample_id"] != photos["t_2"]["sample_id"]
    assert subjects(services)["t"]["sample_count"] == len(crops(settings)) == 2
    register(client, "t_2", shows(a_face(), note="other"))
    assert subjects(services)["t"]["sample_count"] == len(crops(settings)) == 1


def test_many_at_once_leave_one_photograph_a_name(
    client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    def work(number: int) -> None:
        answers.append(register(client, f"eve_{number % 2}", shows(a_face(), note=str(number))).status_code)

    answers: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert subjects(services)["eve"]["sample_count"] == len(crops(settings)) == 2


def test_what_somebody_wrote_into_the_metadata_stays_and_breaks_nothing(
    client: Client, services: Services, pool: list[Message]
) -> None:
    register(client, "ann_1", shows(a_face()))
    subject_id = str(subjects(services)["ann"]["id"])
    for photos in (3, ["ann_1"], {"ann_1": "x"}, {"ann_1": {"sample_id": [1]}}):
        services.galleries.update_subject(GALLERY, subject_id, {"metadata": {"desk": 4, "photos": photos}})
        assert register(client, "ann_1", shows(a_face(), note=str(photos))).status_code == 200
        assert subjects(services)["ann"]["metadata"]["desk"] == 4


def test_with_nobody_registered_the_distance_is_100(client: Client, pool: list[Message], services: Services) -> None:
    answer = detect(client, shows(a_face(candidates=[])))
    assert answer.status_code == 200
    assert answer.text == '{"dist": "100", "message": "image received. size=96x96", "name": null}'
    assert pool[0].whole_picture
    assert pool[0].options.gallery_id == str(services.galleries.get(GALLERY)["id"])


def test_a_picture_without_any_face_is_nobody_and_cannot_be_registered(client: Client, pool: list[Message]) -> None:
    assert detect(client, shows()).get_json() == {
        "dist": "100",
        "message": "image received. size=96x96",
        "name": None,
    }
    refused = register(client, "bob", shows())
    assert refused.status_code == 422
    assert list(refused.get_json()) == ["error"]


@pytest.mark.parametrize(
    ("similarity", "name"),
    [(1.00001, "thomas"), (MIN_SIMILARITY, "thomas"), (MIN_SIMILARITY - 0.001, None), (-1, None)],
)
def test_the_nearest_is_named_from_the_calibrated_similarity_on(
    similarity: float, name: str | None, client: Client, services: Services, pool: list[Message]
) -> None:
    register(client, "thomas_1", shows(a_face()))
    thomas = str(subjects(services)["thomas"]["id"])
    document = detect(client, shows(a_face(candidates=[{"subject_id": thomas, "similarity": similarity}]))).get_json()
    assert document["name"] == name
    assert isinstance(document["dist"], str)
    assert float(document["dist"]) == pytest.approx(math.sqrt(max(0, 2 - 2 * similarity)), abs=1e-6)


def test_the_bound_of_the_gallery_and_of_the_operator_hold(
    make: Callable[..., Mount], client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    register(client, "thomas_1", shows(a_face()))
    near = shows(a_face(candidates=[{"subject_id": str(subjects(services)["thomas"]["id"]), "similarity": 0.5}]))
    assert detect(client, near).get_json()["name"] == "thomas"
    stricter = Client(make(match=settings.match.model_copy(update={"min_similarity": 0.6})), TestResponse)
    assert detect(stricter, near).get_json()["name"] is None
    with services.database.transaction() as cursor:
        cursor.execute("update galleries set min_similarity = 0.7")
    assert detect(client, near).get_json()["name"] is None


def test_of_several_faces_the_largest_counts(client: Client, services: Services, pool: list[Message]) -> None:
    small = a_face(box=[0, 0, 10, 10], embedding=[0.0, 1.0], candidates=[])
    assert register(client, "ida", shows(small, a_face())).status_code == 200
    ida = subjects(services)["ida"]
    assert embedding_of(services, ida["metadata"]["photos"]["ida"]["sample_id"]) == [1, 0]
    large = a_face(candidates=[{"subject_id": str(ida["id"]), "similarity": 0.9}])
    assert detect(client, shows(small, large)).get_json()["name"] == "ida"


def test_somebody_erased_meanwhile_is_not_named(client: Client, services: Services, pool: list[Message]) -> None:
    gone = shows(a_face(candidates=[{"subject_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "similarity": 0.9}]))
    assert detect(client, gone).get_json()["name"] is None


@pytest.mark.parametrize("path", ["//detect", "///detect", "/detect"])
def test_double_slashes_are_no_redirect(path: str, client: Client, pool: list[Message]) -> None:
    environ = {"PATH_INFO": path}
    answer = client.post("/", base_url=URL, data=shows(), environ_overrides=environ)
    assert (answer.status_code, answer.get_json()["dist"]) == (200, "100")


def test_double_slashes_before_a_user_are_collapsed_too(client: Client, pool: list[Message]) -> None:
    answer = client.post("/", base_url=URL, data=shows(a_face()), environ_overrides={"PATH_INFO": "//user//bob_1"})
    assert (answer.status_code, answer.get_json()["name"]) == (200, "bob_1")


@pytest.mark.parametrize("data", [b"", NO_PICTURE, b"x" * 5001], ids=["empty", "text", "large"])
@pytest.mark.parametrize("path", ["/user/bob", "/detect"])
def test_a_body_that_is_no_picture_is_refused_in_json(
    path: str, data: bytes, client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    answer = client.post(path, base_url=URL, data=data, content_type="image/jpeg")
    assert answer.status_code == (413 if len(data) > 5000 else 400)
    assert list(answer.get_json()) == ["error"]
    assert stored_files(settings.home) == []


@pytest.mark.parametrize("path", ["/user/..%2Fx", "/user/%2e%2e%2fetc%2fpasswd", "/user/a%00b", "/user/..", "/user/"])
def test_names_that_look_like_paths_are_refused_without_effect(
    path: str, client: Client, services: Services, pool: list[Message], settings: Settings
) -> None:
    answer = client.post(path, base_url=URL, data=shows(a_face()))
    assert 400 <= answer.status_code < 500
    assert list(answer.get_json()) == ["error"]
    assert pool == []
    assert stored_files(settings.home) == []


def test_other_paths_and_methods_are_refused(client: Client) -> None:
    for path in ("/", "/static/app.js", "/user", "/db/thomas_1.jpg"):
        assert client.get(path, base_url=URL).status_code == 404
    assert client.get("/user/bob", base_url=URL).status_code == 405
    assert client.get("/detect", base_url=URL).status_code == 405


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("thomas_1", "thomas"),
        ("anna_maria_2", "anna_maria"),
        ("bob", "bob"),
        ("x-y_1", "x-y"),
        ("a b_2", "a b"),
        ("a_1b", "a_1b"),
        ("a_1_2", "a_1"),
        ("Jürgen_10", "Jürgen"),
        ("_1", "_1"),
        ("..._7", "..._7"),
    ],
)
def test_the_number_at_the_end_alone_is_stripped(name: str, person: str) -> None:
    assert person_of(check_name(name)) == person


@pytest.mark.parametrize("name", ["", "a" * 65, "a/b", "a\\b", "a\n", "a\0", "..", "_", ". .", "a;b", "<b>", "o'brien"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadInputError):
        check_name(name)


@pytest.mark.parametrize(("cosine", "distance"), [(1.0, 0.0), (1.001, 0.0), (0.755, 0.7), (0.0, math.sqrt(2)), (-1, 2)])
def test_distances_are_those_of_unit_vectors(cosine: float, distance: float) -> None:
    assert distance_of(cosine) == pytest.approx(distance)


class TestFolder:
    """The folder of files that is taken up at the start."""

    @pytest.fixture
    def db(self, tmp_path: Path) -> Path:
        folder = tmp_path / "db"
        folder.mkdir()
        for name, note in (("thomas_1", "1"), ("thomas_2", "2"), ("bob", "3")):
            (folder / f"{name}.jpg").write_bytes(shows(a_face(), note=note))
        return folder

    @pytest.fixture(autouse=True)
    def whole_house(self, services: Services, pool: list[Message]) -> None:
        for name in (*STAGES, "housekeeping"):
            services.workers.seen(f"{name}@host", name, threads=1, device="cpu", model_ids=[])

    def load(self, db: Path, services: Services) -> None:
        thread = take_up(db, services)
        thread.join(timeout=60)
        assert not thread.is_alive()

    def test_every_file_is_told_and_enrolled(
        self, db: Path, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.load(db, services)
        assert capsys.readouterr().out.splitlines() == [
            *("bob.jpg", "Loading file for bob"),
            *("thomas_1.jpg", "Loading file for thomas_1", "thomas_2.jpg", "Loading file for thomas_2"),
            "3 files in the folder, 3 of them new.",
        ]
        found = subjects(services)
        assert {name: row["sample_count"] for name, row in found.items()} == {"thomas": 2, "bob": 1}

    def test_the_next_start_enrols_what_is_new_alone(
        self, db: Path, services: Services, pool: list[Message], capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.load(db, services)
        before = subjects(services)
        asked = len(pool)
        self.load(db, services)
        assert len(pool) == asked
        assert subjects(services) == before
        (db / "bob.jpg").write_bytes(shows(a_face(embedding=[0.0, 1.0])))
        (db / "carl_1.JPEG").write_bytes(shows(a_face()))
        capsys.readouterr()
        self.load(db, services)
        assert capsys.readouterr().out.splitlines()[-1] == "4 files in the folder, 2 of them new."
        bob = subjects(services)["bob"]
        assert bob["sample_count"] == 1
        assert embedding_of(services, bob["metadata"]["photos"]["bob"]["sample_id"]) == [0, 1]

    def test_an_old_file_never_replaces_what_was_registered_since(
        self, db: Path, services: Services, client: Client
    ) -> None:
        self.load(db, services)
        register(client, "bob", shows(a_face(embedding=[0.0, 1.0])))
        self.load(db, services)
        photos = subjects(services)["bob"]["metadata"]["photos"]
        assert embedding_of(services, photos["bob"]["sample_id"]) == [0, 1]

    def test_one_wrong_file_is_told_and_the_others_go_on(
        self, db: Path, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (db / "a text.jpg").write_bytes(NO_PICTURE)
        (db / "large.jpg").write_bytes(b"x" * 5001)
        (db / "o'brien.jpg").write_bytes(shows(a_face()))
        (db / "notes.txt").write_text("no photograph")
        (db / "folder.jpg").mkdir()
        self.load(db, services)
        said = capsys.readouterr().out
        for name in ("a text.jpg", "large.jpg", "o'brien.jpg"):
            assert f"{name} is left out: " in said
        assert "notes" not in said
        assert set(subjects(services)) == {"thomas", "bob"}

    def test_it_waits_for_the_pools(self, db: Path, services: Services, pool: list[Message]) -> None:
        services.workers.gone("embed@host")
        thread = take_up(db, services)
        thread.join(timeout=0.3)
        assert thread.is_alive()
        assert pool == []
        services.workers.seen("embed@host", "embed", threads=1, device="cpu", model_ids=[])
        thread.join(timeout=60)
        assert set(subjects(services)) == {"thomas", "bob"}

    def test_the_start_takes_the_folder_of_the_setting(
        self, db: Path, make: Callable[..., Mount], services: Services
    ) -> None:
        make(compat_004_db=db)
        for thread in threading.enumerate():
            if thread.name == "compat-004-db":
                thread.join(timeout=60)
        assert set(subjects(services)) == {"thomas", "bob"}

    def test_a_folder_that_is_not_there_stops_the_start(self, make: Callable[..., Mount], tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="FACEPIPE_COMPAT_004_DB"):
            make(compat_004_db=tmp_path / "nowhere")
        with pytest.raises(ConfigurationError):
            photographs_in(tmp_path / "models" / "test-pack" / "manifest.json")
