"""Faces found in this process, by the kernels of the pools."""

import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from common.gnosis.vote import bound_for
from common.inference.ort import OrtSession, load_session
from common.packs import LandmarkModel, ModelFile, find_pack, verify
from common.settings import InferenceSettings, Settings
from common.stage.answers import describe_detections, describe_faces
from common.types import Frames
from workers.decode.image import decode_image
from workers.detect.by_size import DetectorBySize
from workers.detect.process import detect_faces
from workers.embed.box_network import BoxNetwork
from workers.embed.embedder import Embedder
from workers.embed.heads import WIDTHS, Heads
from workers.embed.process import embed_faces

log = logging.getLogger("facepipe.gnosis")


class InProcess:
    """See the module; networks are loaded when they are first needed.

    Args:
        settings: pack, devices and limits.

    Raises:
        ConfigurationError: the pack is missing or broken.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pack = find_pack(settings.model_pack, settings.packs_path)
        verify(self._pack)
        self.label = f"pack {self._pack.name} in this process"

    @property
    def above(self) -> float:
        """See `deploy.gnosis.analyser.Analyser`."""
        return bound_for(self._pack.embedder)

    def find(self, picture: Path, *, embed: bool) -> list[dict[str, Any]]:
        """See `deploy.gnosis.analyser.Analyser`."""
        pixels = decode_image(str(picture), max_px=self._settings.decode.max_image_px)
        frames = Frames(pixels[None], np.zeros(1, np.int64), np.zeros(1, np.int64))
        faces = detect_faces(frames, self._detector, batch_size=1, link=False, check=_go_on)
        if not embed:
            return list(describe_detections(faces)["faces"])
        tracklets = embed_faces(
            faces,
            self._embedder,
            crops_per_tracklet=1,
            batch_size=self._settings.embed.batch_size,
            every_face=True,
            check=_go_on,
            heads=self._heads,
        )
        return list(describe_faces(tracklets, self._pack.model_id)["faces"])

    @cached_property
    def _detector(self) -> DetectorBySize:
        settings = self._settings.detect
        spec = self._pack.detector
        return DetectorBySize.of(self._load(spec, settings), spec, side_px=settings.input_side_px)

    @cached_property
    def _embedder(self) -> Embedder:
        spec = self._pack.embedder
        return Embedder(self._load(spec, self._settings.embed), spec)

    @cached_property
    def _heads(self) -> Heads:
        return Heads({file.contract: partial(self._load_landmarks, file) for file in self._pack.landmarks})

    def _load_landmarks(self, file: LandmarkModel) -> BoxNetwork:
        session = self._load(file, self._settings.embed)
        return BoxNetwork(session, name=file.name, image=file.input, widths=WIDTHS[file.contract])

    def _load(self, file: ModelFile, settings: InferenceSettings) -> OrtSession:
        log.debug("loading %s on %s", file.name, settings.device)
        return load_session(
            self._pack.path(file),
            device=settings.device,
            intra_op_threads=settings.intra_op_threads,
            memory_limit_bytes=settings.memory_limit_bytes,
        )


def _go_on() -> None:
    """Nobody but Ctrl-C stops this process."""
