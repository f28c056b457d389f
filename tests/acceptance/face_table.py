"""What the tests of the two predecessors with a face table share: their requests, and portraits."""

import base64
import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import skimage
from PIL import Image

PEOPLE = 25


def data_url(file: bytes, *, label: str = "jpeg", space: str = "") -> str:
    return f"data:image/{label};base64,{space}{base64.b64encode(file).decode()}"


def a_sample(sample_id: Any, file: bytes | str, **changes: Any) -> dict[str, Any]:
    """An element of update-samples as the original test program makes it."""
    image = file if isinstance(file, str) else data_url(file)
    name = f"{sample_id}.jpg"
    return {"id": sample_id, "name": name, "image": image, "metadata": name, "action": "embedlink", **changes}


def saved(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def astronaut() -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").crop((60, 0, 360, 300))


def nobody() -> bytes:
    return saved(Image.new("RGB", (320, 240), (128, 128, 128)))


def portraits(shared_dir: Path, count: int = PEOPLE) -> list[bytes]:
    """Photographs of as many people, one each."""
    path = shared_dir / "data" / "lfw-train.tar"
    if not path.is_file():
        pytest.skip("optional data is absent: data/lfw-train.tar")
    files: list[bytes] = []
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith("_0001.jpg") and (file := tar.extractfile(member)) is not None:
                files.append(file.read())
            if len(files) == count:
                break
    return files


def post(client: httpx.Client, url: str, document: Any) -> httpx.Response:
    return client.post(url, json=document)


def check_json(answer: httpx.Response, document: Any, status: int = 200) -> None:
    """The document, as compact and sorted as Flask used to write it."""
    assert (answer.status_code, answer.json()) == (status, document), answer.text[:500]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.text.endswith("\n")
    assert ": " not in answer.text.partition('"bbox"')[0]


def check_text(answer: httpx.Response, text: str, status: int = 200) -> None:
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
