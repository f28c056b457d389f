"""Records what clients of tae898's servers send, with the jsonpickle of the Python that runs this.

    python -m venv old && old/bin/pip install jsonpickle==2.0.0 'numpy<1.24' 'pillow<10' requests
    old/bin/python tests/compat_recordings/record.py VIDEO

VIDEO is a small one made by `tests.media`. Writes a folder named after the version: request bodies, their content
types, and how that version writes numpy arrays and numbers. The pictures are synthetic.
"""

import io
import json
import sys
from pathlib import Path

import jsonpickle
import numpy as np
import requests
from PIL import Image

FOLDER = Path(__file__).parent / f"jsonpickle-{jsonpickle.__version__}"


def picture() -> Image.Image:
    """The picture of `tests.media.picture`, in small."""
    image = Image.new("RGB", (12, 8), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, 6, 4))
    image.paste((0, 255, 0), (6, 0, 12, 4))
    image.paste((0, 0, 255), (6, 4, 12, 8))
    return image


def opened(file_format: str) -> Image.Image:
    """The same, as a person gets it who opens a file."""
    file = io.BytesIO()
    picture().save(file, file_format, **({"dpi": (72, 72)} if file_format == "JPEG" else {}))
    file.seek(0)
    image = Image.open(file)
    image.load()
    return image


def png() -> bytes:
    """The same, as a file."""
    file = io.BytesIO()
    picture().save(file, "PNG")
    return file.getvalue()


def as_json(document: object) -> dict:
    return {"json": jsonpickle.encode(document)}


def as_part(image: Image.Image) -> dict:
    return {"files": {"image": io.BytesIO(jsonpickle.encode(image).encode())}}


def main(video_path: str) -> None:
    video = Path(video_path).read_bytes()
    asked = {"fps_max": 10, "width_max": 64, "height_max": 64}
    sent = {
        "frames": as_json({**asked, "video": video}),
        "frames-form": {"files": {"video": ("made.mp4", video)}, "data": asked},
        "face-file": as_json({"image": png()}),
        "face-image": as_json({"image": picture()}),
        "face-jpeg-image": as_json({"image": opened("JPEG")}),
        "face-png-image": as_json({"image": opened("PNG")}),
        "face-grey-image": as_json({"image": picture().convert("L")}),
        "face-array": as_json({"image": np.frombuffer(png(), np.uint8)}),
        "face-part": as_part(picture()),
    }
    FOLDER.mkdir(exist_ok=True)
    types = {}
    for name, how in sent.items():
        request = requests.Request("POST", "http://127.0.0.1/", **how).prepare()
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        (FOLDER / f"{name}.body").write_bytes(body)
        types[name] = request.headers["Content-Type"]
    (FOLDER / "content-types.json").write_text(json.dumps(types, indent=1) + "\n")
    if hasattr(np, "core") and not hasattr(np, "_core"):  # numpy 2 gives arrays names that old clients cannot read
        written = {
            "float32 (5, 2)": np.arange(10, dtype=np.float32).reshape(5, 2),
            "float64 (4,)": np.arange(4, dtype=np.float64) / 3,
            "float64": np.float64(0.75),
            "int64": np.int64(1),
        }
        lines = {name: json.loads(jsonpickle.encode(value)) for name, value in written.items()}
        (FOLDER / "answers.json").write_text(json.dumps(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
