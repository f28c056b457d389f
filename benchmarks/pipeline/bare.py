"""A photograph without a server: decode, detect, embed, in one process. `… bare PHOTO CALLS` prints one JSON line."""

import json
import statistics
import sys
import time

import numpy as np

from common.inference.ort import load_session
from common.packs import find_pack
from common.settings import Settings
from common.types import Frames
from workers.decode.image import decode_image
from workers.detect.by_size import DetectorBySize
from workers.detect.process import detect_faces
from workers.embed.embedder import Embedder
from workers.embed.process import embed_faces


def main() -> None:
    """Median over some calls."""
    photo, calls = sys.argv[1], int(sys.argv[2])
    settings = Settings()
    pack = find_pack(settings.model_pack, settings.packs_path)
    session = load_session(pack.path(pack.detector))
    detector = DetectorBySize.of(session, pack.detector, side_px=settings.detect.input_side_px)
    embedder = Embedder(load_session(pack.path(pack.embedder)), pack.embedder)
    number = np.zeros(1, np.int64)
    took_ms = []
    for _ in range(calls + 3):
        started = time.perf_counter()
        pixels = decode_image(photo, max_px=settings.decode.max_image_px)
        frames = Frames(pixels[None], number, number)
        found = detect_faces(frames, detector, batch_size=1, link=False, check=lambda: None)
        embed_faces(
            found,
            embedder,
            crops_per_tracklet=1,
            batch_size=settings.embed.batch_size,
            every_face=True,
            check=lambda: None,
        )
        took_ms.append((time.perf_counter() - started) * 1000)
    print(json.dumps({"p50_ms": round(statistics.median(took_ms[3:]), 1), "faces": len(found.frame)}))


if __name__ == "__main__":
    main()
