"""Predecessor 001 (gnosis-recognizer-service) on a running stack: its routes on the wire, its programs by flags."""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from common.gnosis.vote import UNKNOWN
from deploy.demo.photographs import PEOPLE, load_photograph
from tests.acceptance.conftest import LaunchedStack, compat_url
from tests.conftest import ROOT

PORTS = (5000, 6000)
KNOWN = "Astrid"


@pytest.fixture
def http(compat_stack: LaunchedStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=compat_url(compat_stack, PORTS[0]), timeout=60) as client:
        yield client


def portrait(name: str) -> Image.Image:
    """A person of the demo, with nobody else in the picture."""
    person = PEOPLE[name]
    x1, y1, x2, y2 = (round(side) for side in person.window)
    return Image.fromarray(load_photograph(person.photograph)[y1:y2, x1:x2])


def saved(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def group() -> bytes:
    return saved(Image.fromarray(load_photograph("group")))


def nobody() -> bytes:
    return saved(Image.new("RGB", (320, 240), (128, 128, 128)))


def encode(http: httpx.Client, picture: bytes) -> list[float]:
    answer = http.post("/encoder/image", files={"file": ("a.jpg", picture)})
    assert answer.status_code == 200, answer.text[:300]
    embedding: list[float] = answer.json()
    assert len(embedding) == 512
    assert all(isinstance(number, float) for number in embedding)
    return embedding


def rows(*pairs: tuple[str, list[float]]) -> bytes:
    """The documented form."""
    return json.dumps([[label, ",".join(map(str, embedding))] for label, embedding in pairs]).encode()


def recognise(http: httpx.Client, picture: bytes, dataset: bytes, **query: Any) -> dict[str, Any]:
    files = {"file": ("a.jpg", picture), "dataset": ("dataset.json", dataset)}
    answer = http.post("/recognizer/image", files=files, params=query)
    assert answer.status_code == 200, answer.text[:300]
    document: dict[str, Any] = answer.json()
    return document


def labels(document: dict[str, Any]) -> list[Any]:
    return [face["label"] for face in document["faces"]]


def alike(embedding: list[float], similarity: float) -> list[float]:
    """Numbers of this cosine to an embedding, and of another length."""
    face = np.array(embedding) / np.linalg.norm(embedding)
    across = np.roll(face, 1) - (np.roll(face, 1) @ face) * face
    made = similarity * face + (1 - similarity**2) ** 0.5 * across / np.linalg.norm(across)
    return [float(number) for number in 11.5 * made]


class TestEncode:
    def test_one_image(self, http: httpx.Client) -> None:
        embedding = encode(http, saved(portrait(KNOWN)))
        assert embedding == encode(http, saved(portrait(KNOWN)))

    def test_an_image_without_a_face_and_no_image_give_null(self, http: httpx.Client) -> None:
        for data in (nobody(), b"no picture", b""):
            answer = http.post("/encoder/image", files={"file": ("a.jpg", data)})
            assert (answer.status_code, answer.text.strip()) == (200, "null")

    def test_the_largest_face_is_encoded(self, http: httpx.Client) -> None:
        small = portrait("Boris").resize((120, 120))
        both = Image.new("RGB", (600, 320), (128, 128, 128))
        both.paste(portrait(KNOWN), (0, 10))
        both.paste(small, (400, 10))
        first, largest = np.array(encode(http, saved(portrait(KNOWN)))), np.array(encode(http, saved(both)))
        assert first @ largest > 0.8

    def test_several_images_under_a_key_skip_those_without_a_face(self, http: httpx.Client) -> None:
        pictures = [saved(portrait(KNOWN)), nobody(), b"no picture", saved(portrait("Dora"))]
        files = [("files", ("a.jpg", picture)) for picture in pictures]
        answer = http.post("/encoder/images", data={"key": "O'Ann"}, files=files)
        assert answer.status_code == 200
        assert list(answer.json()) == ["O'Ann"]
        found = answer.json()["O'Ann"]
        assert [row["img"] for row in found] == [0, 3]
        assert [row["embedding"] for row in found] == [encode(http, pictures[0]), encode(http, pictures[3])]
        none = http.post("/encoder/images", data={"key": "ann"}, files=[("files", ("a.jpg", nobody()))])
        assert none.json() == {"ann": []}


class TestDetect:
    def test_labels_count_and_boxes_have_five_numbers(self, http: httpx.Client) -> None:
        document = http.post("/detector/image", files={"file": ("a.jpg", group())}).json()
        assert list(document) == ["faces"]
        assert labels(document) == [0, 1, 2, 3, 4, 5]
        for face in document["faces"]:
            assert list(face) == ["label", "bbox"]
            assert len(face["bbox"]) == 5
            assert 0 < face["bbox"][4] <= 1
        scores = [face["bbox"][4] for face in document["faces"]]
        assert scores == sorted(scores, reverse=True)
        assert http.post("/detector/image", files={"file": ("a.jpg", nobody())}).json() == {"faces": []}

    def test_the_annotated_picture_is_a_jpeg_of_the_input_size(self, http: httpx.Client) -> None:
        form = {"return_img_b64": "true"}  # of the form it means nothing
        plain = http.post("/detector/image", files={"file": ("a.jpg", group())}, data=form).json()
        assert "img_b64" not in plain
        document = http.post("/detector/image?return_img_b64=true", files={"file": ("a.jpg", group())}).json()
        assert document["faces"] == plain["faces"]
        drawn = Image.open(io.BytesIO(base64.b64decode(document["img_b64"], validate=True)))
        original = load_photograph("group")
        assert (drawn.format, drawn.size) == ("JPEG", (original.shape[1], original.shape[0]))
        for face in document["faces"]:
            x1, _, x2, y2, _ = (round(number) for number in face["bbox"])
            red, green, blue = np.asarray(drawn)[y2 - 1, (x1 + x2) // 2].astype(int)
            assert green > 150 > max(red, blue)

    def test_boxes_are_in_the_upright_picture(self, http: httpx.Client) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        lying = saved(portrait(KNOWN).crop((0, 0, 300, 260)).rotate(90, expand=True), "JPEG", exif=exif)
        document = http.post("/detector/image?return_img_b64=1", files={"file": ("a.jpg", lying)}).json()
        assert labels(document) == [0]
        assert Image.open(io.BytesIO(base64.b64decode(document["img_b64"]))).size == (300, 260)


class TestRecognise:
    def test_a_known_person_has_a_name_and_strangers_are_uknown(self, http: httpx.Client) -> None:
        dataset = rows(
            ("Boris", encode(http, saved(portrait("Boris")))), ("Emil", encode(http, saved(portrait(KNOWN))))
        )
        document = recognise(http, group(), dataset)
        assert sorted(labels(document)) == ["Boris", *[UNKNOWN] * 5]
        x1, y1, x2, y2, _ = next(face["bbox"] for face in document["faces"] if face["label"] == "Boris")
        left, top, right, bottom = PEOPLE["Boris"].face
        assert left < (x1 + x2) / 2 < right
        assert top < (y1 + y2) / 2 < bottom

    def test_the_form_that_the_encoder_used_to_write_is_read_too(self, http: httpx.Client) -> None:
        found = {"Ann": [{"img": "/no/such/file.jpg", "embedding": encode(http, saved(portrait(KNOWN)))}]}
        assert labels(recognise(http, saved(portrait(KNOWN)), json.dumps(found).encode())) == ["Ann"]

    @pytest.mark.parametrize(
        ("similarities", "name"),
        [
            ([("ann", 0.29)], UNKNOWN),
            ([("ann", 0.31)], "ann"),
            ([("ann", 1.0), ("bob", 0.6), ("bob", 0.6)], "bob"),
            ([("ann", 0.4), ("bob", 0.9)], "ann"),
            ([("bob", 0.9), ("ann", 0.4), ("bob", 0.1), ("ann", 0.4)], "ann"),
            ([], UNKNOWN),
        ],
    )
    def test_the_vote_and_its_strict_bound(
        self, similarities: list[tuple[str, float]], name: str, http: httpx.Client
    ) -> None:
        embedding = encode(http, saved(portrait(KNOWN)))
        dataset = rows(*((label, alike(embedding, similarity)) for label, similarity in similarities))
        assert labels(recognise(http, saved(portrait(KNOWN)), dataset)) == [name]

    def test_the_label_is_drawn(self, http: httpx.Client) -> None:
        dataset = rows(("Ann", encode(http, saved(portrait(KNOWN)))))
        documents = [recognise(http, saved(portrait(KNOWN)), each, return_img_b64="true") for each in (dataset, rows())]
        pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each["img_b64"])))) for each in documents]
        assert pictures[0].shape == pictures[1].shape == (300, 300, 3)
        assert (pictures[0] != pictures[1]).any()

    def test_no_faces(self, http: httpx.Client) -> None:
        assert recognise(http, nobody(), rows()) == {"faces": []}


def test_what_is_wrong_is_told_as_before(http: httpx.Client) -> None:
    for path, name in (("/encoder/image", "file"), ("/detector/image", "file"), ("/encoder/images", "key")):
        answer = http.post(path)
        assert answer.status_code == 422
        assert answer.json()["detail"][0] == {
            "loc": ["body", name],
            "msg": "field required",
            "type": "value_error.missing",
        }
    no_picture = http.post("/detector/image", files={"file": ("a.jpg", b"no picture")})
    files = {"file": ("a.jpg", nobody()), "dataset": ("d.json", b'[["ann", "1,2,3"]]')}
    short = http.post("/recognizer/image", files=files)
    for answer in (no_picture, short):
        assert answer.status_code == 400
        assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("value", ["/etc/passwd", "../../etc/passwd", "http://169.254.169.254/", "; touch pwned"])
def test_paths_and_addresses_are_opened_by_no_part(value: str, http: httpx.Client) -> None:
    files = {"file": ("a.jpg", value.encode()), "dataset": (value, json.dumps(value).encode())}
    answers = [
        http.post("/recognizer/image", data={"file": value, "dataset": value}),
        http.post("/recognizer/image", files=files),
        http.post("/encoder/image", data={"file": value}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text[:300]
        assert "root:" not in answer.text


def test_both_ports_and_the_pages(compat_stack: LaunchedStack) -> None:
    for port in PORTS:
        for path in ("/docs", "/redoc"):
            page = httpx.get(compat_url(compat_stack, port) + path)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert "Gnosis Recognition API" in page.text
        document = httpx.get(compat_url(compat_stack, port) + "/openapi.json").json()
        assert (document["info"]["title"], document["info"]["version"]) == ("Gnosis Recognition API", "1.1.0")


class TestPrograms:
    """The command line, with a running stack and without one."""

    @pytest.fixture
    def people(self, tmp_path: Path) -> Path:
        folder = tmp_path / "people"
        for label, name in (("O'Brien", "Boris"), ("Dora", "Dora")):
            (folder / label).mkdir(parents=True)
            portrait(name).save(folder / label / "1.png")
        (folder / "Dora" / "broken.jpg").write_bytes(b"no picture")
        (folder / "Dora" / "empty.png").write_bytes(nobody())
        return folder

    @pytest.fixture(params=["stack", "process"])
    def env(self, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACEPIPE_")}
        home = tmp_path / "no-stack"
        if request.param == "stack":
            stack: LaunchedStack = request.getfixturevalue("compat_stack")
            home = stack.home
        return {**inherited, "FACEPIPE_HOME": str(home)}

    def test_encoder_then_recognition(self, people: Path, env: dict[str, str], tmp_path: Path) -> None:
        by_folder, by_json = tmp_path / "folder.json", tmp_path / "list.json"
        listed = {each.name: sorted(map(str, each.iterdir())) for each in sorted(people.iterdir())}
        first = run(env, "encoder", "-p", str(people), "-o", str(by_folder), "-p")
        second = run(env, "encoder", "-i", json.dumps(listed), "-o", str(by_json))
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert second.stdout == ""
        assert by_folder.read_text() == by_json.read_text()
        dataset = json.loads(by_folder.read_text())
        assert [label for label, _ in dataset] == ["Dora", "O'Brien"]
        assert all(len(numbers.split(",")) == 512 for _, numbers in dataset)
        assert first.stdout == f"[OUTPUT:BEGIN]\n{by_folder.read_text()}[OUTPUT:END]\n"
        assert "broken.jpg is left out" in first.stderr
        assert "empty.png is left out" in first.stderr

        picture = tmp_path / "group.png"
        picture.write_bytes(group())
        done = run(env, "processor", "recognition", "-i", str(picture), "-d", str(by_folder), "-p")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "FACE ANALITICS PROCESSOR\n"
        (line,) = done.stderr.splitlines()
        mark = f"  : : INFO : : FACE ANALITICS PROCESSOR: {picture}: {{'faces': [{{'label': "
        assert mark in line
        assert line.count("'label': 'Dora'") == line.count("'label': \"O'Brien\"") == 1
        assert line.count("'label': 'Uknown'") == 4

    def test_detection(self, env: dict[str, str], tmp_path: Path) -> None:
        picture = tmp_path / "a.png"
        portrait(KNOWN).save(picture)
        done = run(env, "processor", "detection", "-i", str(picture), "-p")
        assert done.returncode == 0, done.stderr
        assert f"FACE ANALITICS PROCESSOR: {picture}: {{'faces': [{{'label': 0, 'bbox': [" in done.stderr
        quiet = run(env, "processor", "detection", "-i", str(picture))
        assert (quiet.returncode, quiet.stderr) == (0, "")
        (tmp_path / "broken.jpg").write_bytes(b"no picture")
        assert run(env, "processor", "detection", "-i", str(tmp_path / "broken.jpg"), "-p").returncode == 2


def run(env: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.compat", *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
