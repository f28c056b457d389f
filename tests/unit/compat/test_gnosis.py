"""Predecessor 001: its data set, its vote, and its forms, with the real decode pool where a picture is drawn."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from werkzeug.test import Client, TestResponse

from api.compat.gnosis.faces import encode, inside
from api.compat.mount import Mount
from common.calls import CallDesk, connect_redis
from common.contracts import Annotate, Message
from common.drawing import draw_faces
from common.errors import BadInputError, OverloadedError
from common.gnosis.dataset import DIM, read_dataset, write_dataset
from common.gnosis.vote import BOUND, UNKNOWN, bound_for, elect, name_faces
from common.packs import EmbeddingModel
from tests.media import picture
from tests.unit.api.requests import a_face
from tests.unit.compat.conftest import services_of

BASE = "http://127.0.0.1:5000"


def axis(*at: tuple[int, float]) -> list[float]:
    """512 numbers, zero but at the given places."""
    numbers = [0.0] * DIM
    for place, number in at:
        numbers[place] = number
    return numbers


def alike(similarity: float) -> list[float]:
    """A direction of this cosine to the first axis."""
    return axis((0, similarity), (1, (1 - similarity**2) ** 0.5))


FACE = np.array([axis((0, 1.0))], np.float32)


def winner(*rows: tuple[str, float], above: float = BOUND) -> str:
    dataset = read_dataset(write_dataset([(label, alike(similarity)) for label, similarity in rows]).encode())
    (name,) = name_faces(FACE, dataset, above=above)
    return name


class TestVote:
    @pytest.mark.parametrize(
        ("rows", "name"),
        [
            ([], UNKNOWN),
            ([("ann", 0.29)], UNKNOWN),
            ([("ann", 0.3)], UNKNOWN),
            ([("ann", 0.30001)], "ann"),
            ([("ann", -1.0)], UNKNOWN),
            ([("ann", 1.0), ("bob", 0.6), ("bob", 0.6)], "bob"),  # votes beat similarity
            ([("ann", 0.4), ("bob", 0.9)], "ann"),  # a tie goes to the first label
            ([("ann", 0.1), ("bob", 0.9), ("ann", 0.9)], "ann"),  # the first in the data set, not the first to vote
            ([("ann", 0.5), ("bob", 0.9), ("ann", 0.5), ("bob", 0.1)], "ann"),  # interleaved
            ([("bob", 0.5), ("ann", 0.5), ("bob", 0.2), ("ann", 0.5), ("cid", 0.9)], "ann"),
        ],
    )
    def test_most_votes_win(self, rows: list[tuple[str, float]], name: str) -> None:
        assert winner(*rows) == name

    def test_the_bound_is_exclusive_and_may_be_another(self) -> None:
        assert elect(["ann"], [0.5], above=0.5) == UNKNOWN
        assert elect(["ann"], [0.5], above=0.49) == "ann"

    def test_lengths_do_not_count(self) -> None:
        dataset = read_dataset(json.dumps([["ann", [17.5 * number for number in alike(0.8)]]]).encode())
        assert name_faces(FACE, dataset, above=0.79) == ["ann"]
        assert name_faces(FACE, dataset, above=0.81) == [UNKNOWN]

    @pytest.mark.parametrize(
        ("measured", "bound"),
        [
            ({"1e-2": 0.258, "1e-3": 0.354, "1e-4": 0.431}, 0.3),
            ({"1e-2": 0.4, "1e-3": 0.5, "1e-4": 0.6}, 0.4),
            ({"1e-2": 0.1, "1e-3": 0.15, "1e-4": 0.2}, 0.2),
            ({"1e-3": 0.5}, 0.3),
        ],
    )
    def test_the_bound_moves_only_where_the_model_needs_it(self, measured: dict[str, float], bound: float) -> None:
        assert bound_for(a_model(measured)) == bound

    def test_a_provisional_calibration_moves_nothing(self) -> None:
        model = a_model({"1e-2": 0.4, "1e-3": 0.4, "1e-4": 0.5}, provisional=True, min_similarity_origin="a guess")
        assert bound_for(model) == BOUND


def a_model(min_similarity: dict[str, float], **more: Any) -> EmbeddingModel:
    return EmbeddingModel.model_validate(
        {
            "name": "rec.onnx",
            "sha256": "0" * 64,
            "bytes": 1,
            "origin": "a test",
            "input": {"side_px": 112, "colour": "rgb", "mean": 127.5, "std": 127.5},
            "task": "embedding",
            "contract": "arcface",
            "dim": 512,
            "model_id": "test",
            "min_similarity": min_similarity,
            **more,
        }
    )


class TestDataset:
    def test_both_forms_say_the_same(self) -> None:
        rows = [("Ann", alike(0.5)), ("O'Brien", alike(0.25)), ("Ann", alike(0.75))]
        listed = read_dataset(write_dataset(rows).encode())
        by_label = {
            label: [{"img": "x.jpg", "embedding": row} for name, row in rows if name == label] for label, _ in rows
        }
        keyed = read_dataset(b"\xef\xbb\xbf" + json.dumps(by_label).encode())
        assert listed.labels == ("Ann", "O'Brien", "Ann")
        assert keyed.labels == ("Ann", "Ann", "O'Brien")
        np.testing.assert_allclose(listed.embeddings[[0, 2, 1]], keyed.embeddings)
        np.testing.assert_allclose(listed.embeddings[:, 0], [0.5, 0.25, 0.75])

    def test_what_is_written_is_the_documented_form(self) -> None:
        ((label, numbers),) = json.loads(write_dataset([("Žofie", alike(0.5))]))
        assert label == "Žofie"
        assert [float(number) for number in numbers.split(",")] == alike(0.5)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"no json",
            b"\xff\xfe",
            b"[" * 100_000,
            b'"text"',
            b"[1]",
            b'[["ann"]]',
            b'[[1, "0"]]',
            b'[["ann", "0.5,0.5"]]',
            json.dumps([["ann", ",".join(["x"] * DIM)]]).encode(),
            json.dumps([["ann", ",".join(["nan"] * DIM)]]).encode(),
            json.dumps([["ann", [True] * DIM]]).encode(),
            json.dumps([["ann", [1e300] * DIM]]).encode(),
            json.dumps([["ann", [None] * DIM]]).encode(),
            json.dumps([["ann", [0.5] * 128]]).encode(),
            b'{"ann": ["x"]}',
            b'{"ann": [{"img": "/etc/passwd"}]}',
            json.dumps({"py/reduce": [{"py/function": "os.getcwd"}, {"py/tuple": []}]}).encode(),
        ],
    )
    def test_anything_else_is_refused(self, data: bytes) -> None:
        with pytest.raises(BadInputError) as caught:
            read_dataset(data)
        assert caught.value.field == "dataset"

    def test_rows_of_zeros_resemble_nobody(self) -> None:
        dataset = read_dataset(write_dataset([("nobody", [0.0] * DIM)]).encode())
        assert name_faces(FACE, dataset, above=0.0) == [UNKNOWN]


class TestFaces:
    def test_faces_beyond_the_upper_or_left_edge_are_left_out_all_of_them(self) -> None:
        faces = [a_face(box=box) for box in ([-1, 0, 9, 9], [0, 0, 9, 9], [3, -2, 9, 9], [0, 5, 99, 99])]
        assert [face["box"] for face in inside(faces)] == [[0, 0, 9, 9], [0, 5, 99, 99]]

    def test_the_largest_of_the_others_is_encoded_as_512_numbers(self) -> None:
        faces = [
            a_face(box=[-1, 0, 500, 500], embedding=[0.0, 0.0, 1.0]),
            a_face(box=[0, 0, 9, 9], embedding=[1.0, 0.0, 0.0]),
            a_face(box=[0, 0, 20, 20], embedding=[0.0, 1.0, 0.0]),
        ]
        assert encode({"faces": faces}) == axis((1, 1.0))
        assert encode({"faces": faces[:1]}) is None
        assert encode({"faces": []}) is None

    def test_only_what_is_no_picture_is_nobody(self) -> None:
        assert encode(BadInputError("no picture", "bad_media")) is None
        with pytest.raises(BadInputError):
            encode(BadInputError("too many pixels", "too_large"))


class TestDrawing:
    PIXELS = np.full((120, 160, 3), 90, np.uint8)

    def test_boxes_are_green_landmarks_red_and_the_original_is_left_alone(self) -> None:
        points = np.array([[[60, 60], [90, 60], [75, 70], [np.nan, 5], [1e9, -1e9]]], np.float32)
        drawn = draw_faces(self.PIXELS, np.array([[40, 30, 120, 110]], np.float32), points, ["Ann"])
        assert drawn.shape == self.PIXELS.shape
        assert drawn[110, 80].tolist() == [0, 255, 0]
        assert drawn[70, 40].tolist() == [0, 255, 0]
        assert drawn[60, 60].tolist() == [255, 0, 0]
        assert drawn[100, 80].tolist() == [90, 90, 90]
        assert (self.PIXELS == 90).all()

    def test_the_label_is_written_above_the_box(self) -> None:
        box, points = np.array([[40, 60, 120, 110]], np.float32), np.full((1, 5, 2), np.nan, np.float32)
        without = draw_faces(self.PIXELS, box, points, [""])
        written = draw_faces(self.PIXELS, box, points, ["Ann\n" * 99])
        rows = np.flatnonzero((without != written).any(axis=(1, 2)))
        assert rows.size
        assert rows.min() >= 40
        assert rows.max() < 60

    @pytest.mark.parametrize(
        "box", [[-50, -50, 500, 500], [1e20, 1e20, -1e20, -1e20], [30, 30, 10, 10], [200, 200, 300, 300]]
    )
    def test_boxes_anywhere_are_survived(self, box: list[float]) -> None:
        points = np.full((1, 5, 2), np.nan, np.float32)
        assert draw_faces(self.PIXELS, np.array([box], np.float32), points, ["x"]).shape == self.PIXELS.shape

    def test_no_faces_change_nothing(self) -> None:
        nothing = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32)
        assert (draw_faces(self.PIXELS, *nothing, []) == self.PIXELS).all()


@pytest.mark.usefixtures("decode_pool")
class TestAnnotating:
    def test_the_pool_draws_into_a_picture_of_the_same_size(self, mount: Mount) -> None:
        here = services_of(mount)
        face = {"box": [8.0, 8.0, 40.0, 40.0], "landmarks": None, "label": "Ann"}
        drawn = here.pools.annotate(saved(picture(96, 64)), [face])
        image = Image.open(io.BytesIO(drawn))
        assert (image.format, image.size) == ("JPEG", (96, 64))
        red, green, blue = np.asarray(image)[40, 24].astype(int)
        assert green > 180 > max(red, blue)
        assert [key for key, _ in here.blobs.list("calls")] == []

    def test_no_picture_is_told_and_leaves_nothing_behind(self, mount: Mount) -> None:
        here = services_of(mount)
        with pytest.raises(BadInputError):
            here.pools.annotate(b"no picture", [])
        assert [key for key, _ in here.blobs.list("calls")] == []


def test_labels_travel_in_no_message(redis_url: str) -> None:
    desk = CallDesk(connect_redis(redis_url))
    wanted = Annotate("calls/faces", "calls/drawn")
    with pytest.raises(OverloadedError):  # nobody draws
        desk.annotate("calls/picture", wanted, timeout_s=0.01)
    wire = desk.take("decode", 1.0)
    assert wire is not None
    assert wire["annotate"] == {"faces": "calls/faces", "into": "calls/drawn"}
    assert Message.from_wire(wire).annotate == wanted


def saved(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def post(mount: Mount) -> Callable[..., TestResponse]:
    client = Client(mount)

    def send(path: str, **options: Any) -> TestResponse:
        return client.post(path, base_url=BASE, **options)

    return send


def missing(name: str) -> dict[str, Any]:
    return {"loc": ["body", name], "msg": "field required", "type": "value_error.missing"}


class TestForms:
    def file(self, data: bytes = b"x") -> tuple[io.BytesIO, str]:
        return io.BytesIO(data), "a.jpg"

    @pytest.mark.parametrize(
        ("path", "names"),
        [
            ("/encoder/image", ["file"]),
            ("/encoder/images", ["key", "files"]),
            ("/detector/image", ["file"]),
            ("/recognizer/image", ["file", "dataset"]),
        ],
    )
    def test_missing_parts_are_named(self, path: str, names: list[str], post: Callable[..., TestResponse]) -> None:
        wanted = {"detail": [missing(name) for name in names]}
        for options in ({}, {"json": {"file": "x"}}, {"data": {"other": self.file()}}, {"data": {names[0]: ""}}):
            answer = post(path, **options)
            assert (answer.status_code, answer.get_json()) == (422, wanted)

    def test_parts_of_another_kind_are_named(self, post: Callable[..., TestResponse]) -> None:
        text = post("/detector/image?return_img_b64=perhaps", data={"file": "../../etc/passwd"}).get_json()
        assert text["detail"] == [
            {
                "loc": ["query", "return_img_b64"],
                "msg": "value could not be parsed to a boolean",
                "type": "type_error.bool",
            },
            {"loc": ["body", "file"], "msg": "Expected UploadFile, received: <class 'str'>", "type": "value_error"},
        ]
        several = post("/encoder/images", data={"key": self.file(), "files": "http://169.254.169.254/"}).get_json()
        assert [(each["loc"], each["type"]) for each in several["detail"]] == [
            (["body", "key"], "type_error.str"),
            (["body", "files", 0], "value_error"),
        ]

    def test_a_wrong_data_set_is_a_400_before_any_pool_is_asked(self, post: Callable[..., TestResponse]) -> None:
        answer = post("/recognizer/image", data={"file": self.file(), "dataset": self.file(b"{")})
        assert answer.status_code == 400
        assert list(answer.get_json()) == ["error"]

    def test_a_broken_or_too_large_form_is_told(
        self, make: Callable[..., Mount], post: Callable[..., TestResponse]
    ) -> None:
        broken = post("/encoder/image", data=b"--x\r\nbroken", content_type="multipart/form-data; boundary=x")
        assert broken.status_code == 400
        assert list(broken.get_json()) == ["error"]
        small = make(api=services_of(make()).settings.api.model_copy(update={"max_image_bytes": 10}))
        answer = Client(small).post("/encoder/image", base_url=BASE, data={"file": self.file(b"x" * 11)})
        assert answer.status_code == 413
        assert list(answer.get_json()) == ["error"]

    def test_other_paths_and_methods_are_refused_in_the_same_shape(self, mount: Mount) -> None:
        client = Client(mount)
        wrong = client.get("/encoder/image", base_url=BASE)
        assert (wrong.status_code, wrong.get_json()) == (405, {"detail": "Method Not Allowed"})

    def test_the_pages_and_the_document_name_the_routes(self, mount: Mount) -> None:
        client = Client(mount)
        for port in (5000, 6000):
            document = client.get("/openapi.json", base_url=f"http://127.0.0.1:{port}").get_json()
            assert (document["info"]["title"], document["info"]["version"]) == ("Gnosis Recognition API", "1.1.0")
            assert len(document["paths"]) == 6
            assert {operation["post"]["tags"][0] for operation in document["paths"].values()} == {
                "Encoder",
                "Detector",
                "Recognizer",
            }
        for path in ("/docs", "/redoc"):
            page = client.get(path, base_url=BASE)
            assert page.mimetype == "text/html"
            assert "/recognizer/image" in page.text
            assert "Gnosis Recognition API" in page.text
