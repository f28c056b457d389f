"""What one device does with the networks alone: `python -m benchmarks.growth.networks cuda:0` prints two rates.

They are what `make capacity` wants to know about a GPU. Input and answer cross to the device and back, as in the pools.
"""

import argparse
import time
from typing import Final

import numpy as np

from common.errors import ConfigurationError
from common.inference.ort import load_session
from common.packs import find_pack
from common.ports import ModelSession
from common.settings import Settings
from workers.detect.by_size import input_sizes

_LONG_ENOUGH_S: Final = 3.0
_BATCH: Final = 16
_CROP_PX: Final = 112


def rate(session: ModelSession, height_px: int, width_px: int, batch: int) -> float:
    """Pictures a second, in batches, after a few for warming up."""
    (name, _), *_ = session.inputs
    feeds = {name: np.zeros((batch, 3, height_px, width_px), np.float32)}
    for _ in range(3):
        session.run(feeds)
    done, began = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began) < _LONG_ENOUGH_S:
        session.run(feeds)
        done += batch
    return done / took_s


def main() -> None:
    """Measure, and print what to give to `make capacity`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.networks", description=__doc__)
    parser.add_argument("device", help="such as cuda:0, or cpu for one core")
    asked = parser.parse_args()
    settings = Settings()
    batch = 1 if asked.device == "cpu" else _BATCH
    try:
        pack = find_pack(settings.model_pack, settings.packs_path)
        detector = load_session(pack.path(pack.detector), device=asked.device)
        embedder = load_session(pack.path(pack.embedder), device=asked.device)
    except ConfigurationError as error:
        parser.error(str(error))
    widest = input_sizes(settings.detect.input_side_px)[1]
    frames_s = rate(detector, widest.height_px, widest.width_px, batch)
    crops_s = rate(embedder, _CROP_PX, _CROP_PX, batch)
    print(f"--gpu-frames {frames_s:.0f} --gpu-crops {crops_s:.0f}")


if __name__ == "__main__":
    main()
