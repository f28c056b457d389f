"""Live pictures on a real stack: `facepipe live` on a file, an HTTP and an RTSP camera, and WebRTC streams of 001."""

import asyncio
import base64
import io
import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from common.ffmpeg import find_ffmpeg
from common.types import Uint8s
from deploy.demo.montage import write_montage
from deploy.demo.scenes import SCENES, Scene
from deploy.embedded.redis import free_port
from tests.acceptance.command_line import CommandLine
from tests.acceptance.conftest import LaunchedStack, compat_url, wait_for
from tests.acceptance.rtsp import Camera
from tests.conftest import ROOT
from tests.media import encoder_program
from tests.unit.live.green import green_share

# Astrid all the time
ASTRID = (Scene(2.0, SCENES[0].layers),)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    write_montage(path, ASTRID, ffmpeg_path=find_ffmpeg())
    return path


@pytest.fixture(scope="module")
def gallery(facepipe: CommandLine, people: Path) -> Iterator[str]:
    name = f"live-{uuid.uuid4().hex[:8]}"
    facepipe("enroll", people, "--gallery", name)
    yield name
    facepipe("gallery", "delete", name)


class Live:
    """`facepipe live` in a process of its own, with its complaints in a file."""

    def __init__(self, facepipe: CommandLine, complaints: Path, *arguments: str | Path) -> None:
        self._complaints = complaints
        with complaints.open("wb") as errors:
            self.process = subprocess.Popen(
                facepipe.argv("live", *arguments, "--json"),
                env=facepipe.env,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def line(self) -> dict[str, Any]:
        """The next picture that was looked at."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, self.said
        document: dict[str, Any] = json.loads(text)
        return document

    @property
    def said(self) -> str:
        return self._complaints.read_text(errors="replace")

    def wait_until_said(self, text: str) -> None:
        wait_for(lambda: text in self.said or self.process.poll() is not None, 60, lambda: self.said)
        assert text in self.said

    def interrupt(self) -> str:
        """Ctrl-C; gives everything that was said."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.said
        return self.said


def test_a_file_ends_and_pictures_are_skipped_rather_than_late(facepipe: CommandLine, gallery: str, clip: Path) -> None:
    done = facepipe("live", clip, "--gallery", gallery, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame"] for line in lines] == list(range(1, len(lines) + 1))
    assert {face["name"] for line in lines for face in line["faces"]} == {"Astrid"}
    assert lines[-1]["skipped"] + len(lines) == 50
    assert f"{len(lines)} pictures looked at" in done.stderr
    assert f"seen: Astrid in {len(lines)}" in done.stderr


def test_words_are_printed_when_somebody_comes(facepipe: CommandLine, gallery: str, clip: Path) -> None:
    done = facepipe("live", clip, "--gallery", gallery, "--frames", "3")
    assert done.stdout.count("\n") == 1
    assert "  Astrid (0." in done.stdout
    assert "1 face\n" in facepipe("live", clip, "--frames", "1").stdout


def test_an_unknown_gallery_is_told(facepipe: CommandLine, clip: Path) -> None:
    assert "There is no gallery 'nope'" in facepipe("live", clip, "--gallery", "nope", status=2).stderr


def serve_http(clip: Path, port: int) -> "subprocess.Popen[bytes]":
    """A camera that answers one client with JPEG pictures without end."""
    options = "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p -f mpjpeg -listen 1"
    command = [encoder_program(), "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), *options.split()]
    return subprocess.Popen([*command, f"http://127.0.0.1:{port}/cam.mjpg"], stdin=subprocess.DEVNULL)


def test_a_camera_that_goes_away_is_opened_again(
    facepipe: CommandLine, gallery: str, clip: Path, tmp_path: Path
) -> None:
    port = free_port()
    server = serve_http(clip, port)
    live = Live(facepipe, tmp_path / "said", f"http://127.0.0.1:{port}/cam.mjpg", "--gallery", gallery)
    try:
        assert [face["name"] for face in live.line()["faces"]] == ["Astrid"]
        server.kill()
        server.wait()
        live.wait_until_said("Trying again in")
        server = serve_http(clip, port)
        live.wait_until_said("The source is back.")
        said = live.interrupt()
        assert "source opened 2 times; seen: Astrid in" in said
    finally:
        live.process.kill()
        live.process.wait()
        server.kill()
        server.wait()


def test_an_rtsp_camera_is_watched_without_telling_its_password(
    facepipe: CommandLine, gallery: str, clip: Path, tmp_path: Path
) -> None:
    with Camera(clip) as camera:
        live = Live(facepipe, tmp_path / "said", camera.url, "--gallery", gallery)
        try:
            assert [face["name"] for face in live.line()["faces"]] == ["Astrid"]
            assert camera.asked[-3:] == ["DESCRIBE", "SETUP", "PLAY"]
            said = live.interrupt()
        finally:
            live.process.kill()
            live.process.wait()
    assert "secret" not in said
    assert "source opened 1 time" in said


def test_a_server_that_is_away_is_waited_for(facepipe: CommandLine, clip: Path, tmp_path: Path) -> None:
    live = Live(facepipe, tmp_path / "said", clip, "--url", f"http://127.0.0.1:{free_port()}")
    try:
        live.wait_until_said("Looking again in")
        assert "0 pictures looked at" in live.interrupt()
    finally:
        live.process.kill()
        live.process.wait()


def sitting(people: Path, name: str) -> Uint8s:
    with Image.open(people / name / "1.jpg") as image:
        return np.asarray(image.convert("RGB").resize((320, 320)))


def jpeg(pixels: Uint8s) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def stream(url: str, pixels: Uint8s, files: dict[str, bytes], *, frames: int = 10) -> list[Uint8s]:
    """Frames that come back from a stream route for a still picture."""
    from tests.unit.live.peer import Peer  # noqa: PLC0415 - WebRTC is an extra

    async def run() -> list[Uint8s]:
        peer = Peer(pixels)
        try:
            async with httpx.AsyncClient(timeout=60) as http:

                async def ask(sdp: str) -> str:
                    answer = await http.post(url, data={"sdp": sdp, "sdp_type": "offer"}, files=files or None)
                    assert answer.status_code == 200, answer.text
                    assert answer.json()["type"] == "answer"
                    return str(answer.json()["sdp"])

                await peer.connect(ask)
            return [await peer.frame() for _ in range(frames)]
        finally:
            await peer.close()

    return asyncio.run(run())


@pytest.fixture
def webrtc(compat_stack: LaunchedStack) -> str:
    """Where the routes of 001 are."""
    pytest.importorskip("aiortc", reason="WebRTC is an extra: `make live`")
    ice = pytest.importorskip("aioice.ice")
    if not ice.get_host_addresses(use_ipv4=True, use_ipv6=True):
        pytest.skip("this machine has no address but loopback, which WebRTC does not use")
    return compat_url(compat_stack, 5000)


def test_live_detection_stream_comes_back_annotated(webrtc: str, people: Path) -> None:
    pixels = sitting(people, "Astrid")
    answer = httpx.post(
        f"{webrtc}/detector/image", params={"return_img_b64": "true"}, files={"file": jpeg(pixels)}, timeout=60
    ).json()
    assert [face["label"] for face in answer["faces"]] == [0]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["img_b64"]))).convert("RGB"))

    frames = stream(f"{webrtc}/detector/stream", pixels, {})
    assert all(frame.shape == pixels.shape for frame in frames)
    assert np.abs(frames[-1].astype(int) - drawn).mean() < np.abs(pixels.astype(int) - drawn).mean() + 3
    left, top, right, _, _ = (round(value) for value in answer["faces"][0]["bbox"])
    edge = frames[-1][top - 1 : top + 2, left + 5 : right - 5].astype(int)
    assert (edge[..., 1] - edge[..., 0]).max(axis=0).mean() > 60  # green, where the picture has skin and hair
    assert green_share(pixels) == 0

    flat = np.full((240, 320, 3), 128, np.uint8)
    assert max(green_share(frame) for frame in stream(f"{webrtc}/detector/stream", flat, {}, frames=3)) == 0


def test_live_recognition_stream_names_by_the_data_set_that_came_along(webrtc: str, people: Path) -> None:
    astrid, boris = sitting(people, "Astrid"), sitting(people, "Boris")
    embedding = httpx.post(f"{webrtc}/encoder/image", files={"file": jpeg(astrid)}, timeout=60).json()
    dataset = json.dumps([["WWWWWWWWWWWW", ",".join(map(str, embedding))]]).encode()
    url = f"{webrtc}/recognizer/stream"
    known = stream(url, astrid, {"dataset": dataset})[-1]
    stranger = stream(url, boris, {"dataset": dataset})[-1]
    nobody = stream(f"{webrtc}/detector/stream", astrid, {})[-1]
    assert green_share(stranger) > 0
    assert green_share(known) > green_share(nobody) > 0  # twelve letters instead of one digit
