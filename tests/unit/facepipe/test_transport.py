"""Trying again where that cannot do harm, and only there."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from facepipe import errors
from facepipe.errors import FacepipeError
from facepipe.transport import Transport, path_of
from facepipe.uploads import Upload
from tests.unit.facepipe.conftest import Answer, Script

AnError = Callable[..., Answer]


def test_a_request_that_may_be_repeated_is_tried_again_until_it_succeeds(
    transport: Transport, script: Script, pauses: list[float], an_error: AnError
) -> None:
    script.answers = [an_error(503, "unavailable"), an_error(429, "overloaded"), Answer(body={"ok": 1})]
    assert transport.call("GET", "/v1/jobs") == {"ok": 1}
    assert len(pauses) == 2


def test_retry_after_is_the_least_pause(
    transport: Transport, script: Script, pauses: list[float], an_error: AnError
) -> None:
    script.answers = [an_error(503, "unavailable", headers={"Retry-After": "7"}), Answer(body={})]
    transport.call("GET", "/v1/jobs")
    assert pauses == [7.0]


def test_it_gives_up_with_the_last_error(
    transport: Transport, script: Script, pauses: list[float], an_error: AnError
) -> None:
    script.answers = [an_error(503, "unavailable", f"No {n}.") for n in range(4)]
    with pytest.raises(errors.UnavailableError, match=r"No 3\."):
        transport.call("GET", "/v1/jobs")
    assert len(pauses) == 3


def test_a_request_that_may_not_be_repeated_is_sent_once(
    transport: Transport, script: Script, an_error: AnError
) -> None:
    script.answers = [an_error(503, "unavailable")]
    with pytest.raises(errors.UnavailableError):
        transport.call("POST", "/v1/galleries", json={"name": "a"})
    assert len(script.requests) == 1


def test_a_broken_answer_to_such_a_request_is_not_followed_by_another(transport: Transport, script: Script) -> None:
    script.answers = [Answer(body=b'{"half":', is_complete=False)]
    with pytest.raises(errors.ServerUnreachableError):
        transport.call("POST", "/v1/galleries", json={"name": "a"})
    assert len(script.requests) == 1


def test_a_refusal_for_lack_of_room_may_always_be_tried_again(
    transport: Transport, script: Script, an_error: AnError
) -> None:
    script.answers = [an_error(429, "overloaded"), Answer(201, {"name": "a"})]
    assert transport.call("POST", "/v1/galleries", json={"name": "a"}) == {"name": "a"}


def test_an_upload_is_sent_whole_on_every_try(
    transport: Transport, script: Script, tmp_path: Path, an_error: AnError
) -> None:
    media = tmp_path / "clip.mp4"
    media.write_bytes(bytes(range(256)) * 4000)
    sent: list[tuple[int, int]] = []
    script.answers = [an_error(503, "unavailable"), Answer(202, {"id": "j"})]
    upload = Upload([("media", media)], lambda done, total: sent.append((done, total)))
    transport.call("POST", "/v1/jobs", form={"gallery": "staff"}, upload=upload, is_idempotent=True)
    for request in script.requests:
        assert media.read_bytes() in request.body
        assert b'name="gallery"' in request.body
        assert b'filename="clip.mp4"' in request.body
    assert sent[-1] == (1_024_000, 1_024_000)
    assert max(later - earlier for (earlier, _), (later, _) in pairwise(sent)) <= 1 << 16


def test_a_file_that_is_missing_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Upload([("media", tmp_path / "none.mp4")])


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_input", errors.BadRequestError),
        (401, "unauthorized", errors.UnauthorizedError),
        (404, "not_found", errors.NotFoundError),
        (409, "conflict", errors.ConflictError),
        (413, "too_large", errors.BadRequestError),
        (415, "unsupported_media_type", errors.BadRequestError),
        (422, "no_face", errors.BadRequestError),
        (500, "internal", errors.ServerError),
    ],
)
def test_an_error_says_what_the_caller_can_do(
    transport: Transport, script: Script, an_error: AnError, status: int, code: str, kind: type[FacepipeError]
) -> None:
    script.answers = [an_error(status, code, "Do this.")]
    with pytest.raises(FacepipeError) as caught:
        transport.call("GET", "/v1/jobs/x")
    assert type(caught.value) is kind
    assert (caught.value.code, str(caught.value), caught.value.status, caught.value.request_id) == (
        code,
        "Do this.",
        status,
        "r-1",
    )


def test_refused_images_come_with_their_reasons(transport: Transport, script: Script) -> None:
    rejected = [{"file": "a.jpg", "code": "no_face", "message": "No face."}]
    body = {"error": {"code": "no_face", "message": "None."}, "rejected": rejected, "request_id": "r"}
    script.answers = [Answer(422, body)]
    with pytest.raises(errors.UnusableImagesError) as caught:
        transport.call("POST", "/v1/galleries/g/subjects")
    assert list(caught.value.rejected) == rejected


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b"[1]", b'{"error": "text"}'])
def test_an_error_that_is_not_facepipes_is_still_one_sentence(
    transport: Transport, script: Script, body: bytes
) -> None:
    script.answers = [Answer(500, body)]
    with pytest.raises(errors.ServerError, match="answered 500"):
        transport.call("GET", "/v1/jobs")


def test_another_program_on_the_port_is_recognised(transport: Transport, script: Script) -> None:
    script.answers = [Answer(200, b"<html>hello</html>")]
    with pytest.raises(errors.ProtocolError, match="is not facepipe"):
        transport.call("GET", "/v1/jobs")


def test_nobody_listening_is_one_sentence(pauses: list[float]) -> None:
    transport = Transport("http://127.0.0.1:9", None, timeout_s=2, retries=1, sleep=pauses.append)
    with pytest.raises(errors.ServerUnreachableError, match="Is the server up"):
        transport.call("POST", "/v1/galleries", json={})
    assert len(pauses) == 1  # a refused connection had no effect, so even this is tried again
    transport.close()


def test_the_key_goes_to_its_server_alone(transport: Transport, script: Script) -> None:
    script.answers = [Answer(body=b"\xff\xd8", headers={"Content-Type": "image/jpeg"})]
    assert transport.fetch("/v1/jobs/j/tracks/1/thumbnail.jpg") == b"\xff\xd8"
    assert script.requests[0].headers["authorization"] == "Bearer fp_key"
    for elsewhere in ("http://example.invalid/x.jpg", "//example.invalid/x.jpg"):
        with pytest.raises(errors.ProtocolError, match="another server"):
            transport.fetch(elsewhere)
    assert len(script.requests) == 1


def test_a_prefix_of_the_url_is_kept(script: Script) -> None:
    transport = Transport(f"{script.url}/face/", None, timeout_s=5, retries=0)
    script.answers = [Answer(body={})]
    transport.call("GET", "/v1/jobs")
    assert script.requests[0].path == "/face/v1/jobs"
    transport.close()


@pytest.mark.parametrize("url", ["", "8000", "ftp://host/", "localhost:8000", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL"):
        Transport(url, None, timeout_s=1, retries=0)


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_name_cannot_climb_out_of_its_path(segment: str) -> None:
    with pytest.raises(errors.BadRequestError):
        path_of("galleries", segment)


def test_names_are_quoted() -> None:
    assert path_of("galleries", "a/b?c d") == "/v1/galleries/a%2Fb%3Fc%20d"
