"""The arrays that move between the stages, as frozen records checked at the door.

Boxes are `[x1, y1, x2, y2]`, landmarks `[[x, y] * 5]` (image-left eye, image-right eye, nose, image-left and
image-right mouth corner), both in pixels of the upright original frame. Media time is in whole milliseconds from the
start of the media as a player shows it. Images are uint8 RGB, (height, width, 3).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Uint8s = npt.NDArray[np.uint8]
Arrays = Mapping[str, npt.NDArray[Any]]


def check_shape(name: str, array: npt.NDArray[Any], expected: Sequence[int | str], sizes: dict[str, int]) -> None:
    """Compare a shape with a pattern such as `("faces", 4)`; equal words must mean equal sizes.

    Raises:
        ValueError: naming the array, the expected and the actual shape.
    """
    ok = array.ndim == len(expected)
    if ok:
        for size, want in zip(array.shape, expected, strict=True):
            ok &= size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
    if not ok:
        raise ValueError(f"{name}: expected shape {tuple(expected)} with {sizes}, got {array.shape}")


class ArrayRecord:
    """Base of the records below: to and from the named arrays that a frame store keeps."""

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Field name to array."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Inverse of `to_arrays`; arrays are not copied."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Frames(ArrayRecord):
    """The sampled frames of one segment, decode's answer; upright.

    Attributes:
        pixels: (frames, height, width, 3) uint8 RGB, or (frames, height * 3 / 2, width) uint8 I420: luma, then two
            planes of chroma of half the width and height.
        frame_index: (frames,) int64, position in presentation order in the whole media, from 0.
        media_time_ms: (frames,) int64.
        yuv_to_rgb: (frames, 3, 4) float32, of I420: RGB is this matrix times (Y, U, V, 1). Of RGB it means nothing.
    """

    pixels: Uint8s
    frame_index: Int64s
    media_time_ms: Int64s
    yuv_to_rgb: Float32s = field(default_factory=lambda: np.zeros((0, 3, 4), np.float32))

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        if self.is_rgb:
            check_shape("pixels", self.pixels, ("frames", "height", "width", 3), sizes)
        else:
            check_shape("pixels", self.pixels, ("frames", "rows", "width"), sizes)
            check_shape("yuv_to_rgb", self.yuv_to_rgb, ("frames", 3, 4), sizes)
        check_shape("frame_index", self.frame_index, ("frames",), sizes)
        check_shape("media_time_ms", self.media_time_ms, ("frames",), sizes)

    @property
    def is_rgb(self) -> bool:
        """Whether the pixels are RGB."""
        return self.pixels.ndim == 4


@dataclass(frozen=True, slots=True, eq=False)
class Detections(ArrayRecord):
    """Faces in a stack of frames, ordered by frame and then by falling score.

    Attributes:
        frame: (faces,) int32, position of the frame in the stack.
        boxes: (faces, 4) float32; may reach beyond the picture.
        landmarks: (faces, 5, 2) float32; NaN where the detector gives none.
        det_scores: (faces,) float32 in [0, 1].
    """

    frame: Int32s
    boxes: Float32s
    landmarks: Float32s
    det_scores: Float32s

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("frame", self.frame, ("faces",), sizes)
        check_shape("boxes", self.boxes, ("faces", 4), sizes)
        check_shape("landmarks", self.landmarks, ("faces", 5, 2), sizes)
        check_shape("det_scores", self.det_scores, ("faces",), sizes)

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class Patches(ArrayRecord):
    """A square cut-out around each face, so that whole frames need not travel beyond detection.

    A patch pixel p is the original pixel `origin + p / scale`. Patches differ in size, so their bytes lie one after
    the other in `data`; `side[i]` is the side of patch i, which is square and black beyond the picture's edge.

    Attributes:
        data: (bytes,) uint8; patch i is `side[i] * side[i] * 3` bytes, RGB rows.
        side: (faces,) int32, pixels.
        origin: (faces, 2) float32, original pixel (x, y) of the patch's corner.
        scale: (faces,) float32, patch pixels per original pixel, at most 1.
    """

    data: Uint8s
    side: Int32s
    origin: Float32s
    scale: Float32s

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("side", self.side, ("faces",), sizes)
        check_shape("origin", self.origin, ("faces", 2), sizes)
        check_shape("scale", self.scale, ("faces",), sizes)
        check_shape("data", self.data, (int((self.side.astype(np.int64) ** 2).sum()) * 3,), sizes)

    def __len__(self) -> int:
        return len(self.side)

    def image(self, index: int) -> Uint8s:
        """(side, side, 3) uint8 RGB, a view."""
        offsets = np.concatenate([[0], np.cumsum(self.side.astype(np.int64) ** 2 * 3)])
        side = int(self.side[index])
        return self.data[offsets[index] : offsets[index + 1]].reshape(side, side, 3)

    def images(self, indices: Int64s) -> Iterator[Uint8s]:
        """Some of the patches, one after the other, as `image` gives them."""
        ends = np.cumsum(self.side.astype(np.int64) ** 2 * 3)
        for index in indices:
            side = int(self.side[index])
            yield self.data[ends[index] - side * side * 3 : ends[index]].reshape(side, side, 3)

    @classmethod
    def join(cls, images: Iterable[Uint8s], origin: Float32s, scale: Float32s) -> Self:
        """From separate square pictures; see the class for `origin` and `scale`."""
        pictures = list(images)
        data = np.concatenate([picture.reshape(-1) for picture in pictures]) if pictures else np.zeros(0, np.uint8)
        return cls(data, np.array([len(picture) for picture in pictures], np.int32), origin, scale)


def _nobody_said() -> Int32s:
    return np.zeros(2, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Faces(ArrayRecord):
    """What detection hands on: every frame's time, every face in it, and which faces are one tracklet.

    Attributes:
        frame_index, media_time_ms: (frames,) int64, as in `Frames`; frames without faces are listed too.
        frame_size: (2,) int32, width and height in pixels.
        frame, boxes, landmarks, det_scores: as in `Detections`.
        tracklet: (faces,) int32, 0-based; faces with one number are one person seen over neighbouring frames.
        patch_data, patch_side, patch_origin, patch_scale: see `Patches`, one patch a face.
        input_size: (2,) int32, width and height of the detector's input in pixels; zeros where nobody said.
    """

    frame_index: Int64s
    media_time_ms: Int64s
    frame_size: Int32s
    frame: Int32s
    boxes: Float32s
    landmarks: Float32s
    det_scores: Float32s
    tracklet: Int32s
    patch_data: Uint8s
    patch_side: Int32s
    patch_origin: Float32s
    patch_scale: Float32s
    input_size: Int32s = field(default_factory=_nobody_said)

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {"faces": len(self.frame)}
        check_shape("tracklet", self.tracklet, ("faces",), sizes)
        check_shape("patch_side", self.patch_side, ("faces",), sizes)
        check_shape("frame_index", self.frame_index, ("frames",), sizes)
        check_shape("media_time_ms", self.media_time_ms, ("frames",), sizes)
        check_shape("frame_size", self.frame_size, (2,), sizes)

    @property
    def detections(self) -> Detections:
        """The faces without their patches."""
        return Detections(self.frame, self.boxes, self.landmarks, self.det_scores)

    @property
    def patches(self) -> Patches:
        """One patch a face."""
        return Patches(self.patch_data, self.patch_side, self.patch_origin, self.patch_scale)


@dataclass(frozen=True, slots=True, eq=False)
class Guesses(ArrayRecord):
    """What further networks say of some faces; nothing of it is certain.

    What was not asked for, or what the pack has no network for, is NaN or has no points.

    Attributes:
        age: (faces,) float32 years.
        female_score: (faces,) float32 in [0, 1], above one half where the guess is female; see
            `workers.embed.attributes`.
        landmarks_106: (faces, 106, 2) float32, or (faces, 0, 2); frame pixels, see `workers.embed.landmarks`.
        landmarks_68: (faces, 68, 3) float32, or (faces, 0, 3); frame pixels, depth included.
        pose: (faces, 3) float32 degrees: pitch, yaw, roll.
    """

    age: Float32s
    female_score: Float32s
    landmarks_106: Float32s
    landmarks_68: Float32s
    pose: Float32s

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("age", self.age, ("faces",), sizes)
        check_shape("female_score", self.female_score, ("faces",), sizes)
        check_shape("landmarks_106", self.landmarks_106, ("faces", "points in the plane", 2), sizes)
        check_shape("landmarks_68", self.landmarks_68, ("faces", "points in space", 3), sizes)
        check_shape("pose", self.pose, ("faces", 3), sizes)

    @classmethod
    def nothing(cls, faces: int) -> Self:
        """For so many faces of which nothing was asked."""
        unknown = np.full(faces, np.nan, np.float32)
        return cls(
            age=unknown,
            female_score=unknown.copy(),
            landmarks_106=np.zeros((faces, 0, 2), np.float32),
            landmarks_68=np.zeros((faces, 0, 3), np.float32),
            pose=np.full((faces, 3), np.nan, np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tracklets(ArrayRecord):
    """What embedding hands on: every face, and one embedding for each tracklet.

    `tracklet` may differ from what detection said: a tracklet whose crops disagree is split.

    Attributes:
        frame_index, media_time_ms, frame_size, frame, boxes, landmarks, det_scores, tracklet: as in `Faces`.
        quality: (faces,) float32 in [0, 1], see `workers.embed.quality`; NaN where it was not measured.
        sharpness: (faces,) float32 in [0, 1]; NaN where it was not measured.
        frontality: (faces,) float32 in [0, 1], 1 from the front, 0 in profile; of every face.
        embeddings: (tracklets, dim) float32, unit length, fused over the best crops; row i is tracklet i.
        best_face: (tracklets,) int32, index of the face with the best crop.
        crop_tracklet: (crops,) int32, whose crop each one is; best first within a tracklet.
        crop_face: (crops,) int32, index of the face it was cut from.
        crop_embeddings: (crops, dim) float32, unit length, one a crop.
        crop_jpegs, crop_ends: concatenated JPEG files of aligned crops, and where each one ends (crops,) int64.
        thumb_jpegs, thumb_ends: the same for one thumbnail a tracklet.
        input_size: as in `Faces`.
        crop_age, crop_female_score, crop_landmarks_106, crop_landmarks_68, crop_pose: see `Guesses`, one row a crop.
    """

    frame_index: Int64s
    media_time_ms: Int64s
    frame_size: Int32s
    frame: Int32s
    boxes: Float32s
    landmarks: Float32s
    det_scores: Float32s
    tracklet: Int32s
    quality: Float32s
    sharpness: Float32s
    frontality: Float32s
    embeddings: Float32s
    best_face: Int32s
    crop_tracklet: Int32s
    crop_face: Int32s
    crop_embeddings: Float32s
    crop_jpegs: Uint8s
    crop_ends: Int64s
    thumb_jpegs: Uint8s
    thumb_ends: Int64s
    crop_age: Float32s
    crop_female_score: Float32s
    crop_landmarks_106: Float32s
    crop_landmarks_68: Float32s
    crop_pose: Float32s
    input_size: Int32s = field(default_factory=_nobody_said)

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {"faces": len(self.frame)}
        check_shape("tracklet", self.tracklet, ("faces",), sizes)
        check_shape("quality", self.quality, ("faces",), sizes)
        check_shape("frontality", self.frontality, ("faces",), sizes)
        check_shape("embeddings", self.embeddings, ("tracklets", "dim"), sizes)
        check_shape("best_face", self.best_face, ("tracklets",), sizes)
        check_shape("crop_tracklet", self.crop_tracklet, ("crops",), sizes)
        check_shape("crop_embeddings", self.crop_embeddings, ("crops", "dim"), sizes)
        check_shape("crop_ends", self.crop_ends, ("crops",), sizes)
        check_shape("thumb_ends", self.thumb_ends, ("tracklets",), sizes)
        check_shape("crop_age", self.guesses.age, ("crops",), sizes)

    @property
    def detections(self) -> Detections:
        """The faces."""
        return Detections(self.frame, self.boxes, self.landmarks, self.det_scores)

    @property
    def guesses(self) -> Guesses:
        """One row a crop."""
        return Guesses(
            self.crop_age, self.crop_female_score, self.crop_landmarks_106, self.crop_landmarks_68, self.crop_pose
        )


def split_bytes(data: Uint8s, ends: Int64s) -> list[bytes]:
    """Cut concatenated files apart; `ends[i]` is the end of file i in `data`."""
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return [data[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]


def join_bytes(files: Sequence[bytes]) -> tuple[Uint8s, Int64s]:
    """Inverse of `split_bytes`."""
    ends = np.cumsum([len(file) for file in files], dtype=np.int64) if files else np.zeros(0, np.int64)
    return np.frombuffer(b"".join(files), np.uint8), ends


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that may be the one in a probe.

    Attributes:
        subject_id: id of the subject.
        similarity: cosine of the probe and the subject's closest reference, in [-1, 1].
    """

    subject_id: str
    similarity: float
