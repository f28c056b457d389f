"""Glue of the decode pool: plan a job's media, and turn segments into frames."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.contracts import PICTURE_STAGES, TASK_DECODE, TASK_PLAN, Annotate, CallRef, Extract, Message, StepRef
from common.errors import BadInputError, FacepipeError
from common.ffmpeg import find_ffmpeg
from common.ports import FrameWriter
from common.records import Segment
from common.stage.heart import Hold
from common.stage.runner import Attempt, Handler, counting, make_handler, pass_on, settle, settling
from common.stage.runtime import Runtime
from common.store.steps import StartedSegment
from common.types import Frames, Uint8s
from workers.decode.acceleration import choose_hwaccel, is_taken_by_hardware
from workers.decode.annotate import annotate
from workers.decode.command import Decoder
from workers.decode.extract import extract_frames
from workers.decode.fetch import fetch
from workers.decode.image import decode_image, sniff_kind
from workers.decode.probe import probe_video
from workers.decode.segments import frames_layout, plan_segments
from workers.decode.stream import VideoStream
from workers.decode.video import read_segments

log = logging.getLogger("facepipe.decode")

#: Frames that are there are looked at before more of them are decoded.
_FFMPEG_NICENESS = 9

_PICTURE = Segment(0, 0, 1, np.zeros(1, np.int64), np.zeros(1, np.int64))


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler."""
    decode = _Decode(runtime)
    return {
        TASK_PLAN: make_handler(runtime, decode.plan),
        TASK_DECODE: decode.run_or_call,
    }


class _Decode:
    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings.decode
        self._runtime = runtime
        self._settings = settings
        program = find_ffmpeg(runtime.settings.ffmpeg)
        self._decoder = Decoder(
            program,
            threads=settings.ffmpeg_threads,
            hwaccel=choose_hwaccel(program, settings.hwaccel),
            stall_timeout_s=settings.stall_timeout_s,
            niceness=_FFMPEG_NICENESS,
        )
        self._call = make_handler(runtime, self._answer)

    def plan(self, attempt: Attempt) -> None:
        ref = attempt.message.ref
        if not isinstance(ref, StepRef):
            raise TypeError("only jobs are planned")
        self._fetch_if_needed(attempt, ref)
        path = self._runtime.blobs.path(attempt.message.blob_key)
        if sniff_kind(path) == "image":
            height, width = decode_image(path, max_px=self._settings.max_image_px).shape[:2]
            media: dict[str, Any] = {"kind": "image", "width_px": width, "height_px": height}
            self._runtime.steps.planned(ref, media, [_PICTURE])
            return
        info = probe_video(
            path,
            self._decoder,
            max_side_px=self._settings.max_video_side_px,
            max_duration_s=self._settings.max_duration_s,
            check=attempt.check,
        )
        kind = self._decoder.hwaccel
        if kind != "none" and not is_taken_by_hardware(path, self._decoder, check=attempt.check):
            log.info("job %s: %s does not take this video, the processor decodes it", ref.job_id, kind)
        segments = plan_segments(
            info,
            sample_fps=attempt.message.options.sample_fps or self._settings.sample_fps,
            max_frames=self._settings.segment_frames,
            max_bytes=self._settings.segment_bytes,
        )
        if not segments:
            raise BadInputError("The video has no frame that decodes.", "bad_media")
        self._runtime.steps.planned(ref, {**info.stream.to_wire(), "frames": len(info.frame_pts)}, segments)

    def run_or_call(self, wire: Mapping[str, Any]) -> None:
        message = Message.from_wire(wire)
        if isinstance(message.ref, CallRef):
            self._call(wire)
            return
        with settling(self._runtime, message.ref):
            started, media = self._runtime.steps.begin_segments(message.span(), self._runtime.worker)
            if started:
                refs = [one.ref for one in started]
                with self._runtime.heart.hold(refs) as hold, counting(self._runtime, message.ref):
                    self._run(message, started, media, hold)

    def _run(self, message: Message, started: Sequence[StartedSegment], media: dict[str, Any], hold: Hold) -> None:
        """One decoder run; an error counts against the segment it had reached, the rest goes back untouched."""
        refs = {one.segment.ordinal: one.ref for one in started}
        reached = started[0].ref
        path = self._runtime.blobs.path(message.blob_key)

        def make_room(segment: Segment) -> FrameWriter:
            nonlocal reached
            reached = refs[segment.ordinal]
            if reached != message.ref:  # which `begin_segments` has begun
                self._runtime.steps.reach(reached)
            layout = frames_layout(
                len(segment.frame_indices),
                width_px=media["width_px"],
                height_px=media["height_px"],
                planar=media.get("colour") is not None,
            )
            return self._runtime.frames.create(f"{reached.key}:frames", layout, urgent=False, wait=hold.check)

        def hand_over(ordinal: int, error: FacepipeError | None) -> None:
            ref = refs[ordinal]
            hold.drop(ref)
            with settling(self._runtime, ref):
                if error is not None:
                    raise error
                pass_on(self._runtime, message.for_step(ref), "detect")

        try:
            if media["kind"] == "image":
                writer = make_room(_PICTURE)
                _fill(writer, decode_image(path, max_px=self._settings.max_image_px))
                hand_over(0, None)
                return
            segments = [one.segment for one in started]
            stream = VideoStream.from_wire(media)
            for decoded in read_segments(path, stream, segments, self._decoder, make_room=make_room, check=hold.check):
                hand_over(decoded.segment.ordinal, decoded.error)
        except Exception as error:  # noqa: BLE001 - `settle` decides by its kind
            left = [ref for ref in hold.refs if ref != reached]
            for ref in hold.refs:
                hold.drop(ref)
            settle(self._runtime, reached, error)
            self._runtime.steps.give_back(left)

    def _answer(self, attempt: Attempt) -> None:
        if attempt.message.extract is not None:
            self._extract(attempt, attempt.message.extract)
        elif attempt.message.annotate is not None:
            self._annotate(attempt, attempt.message.annotate)
        else:
            self._picture(attempt)

    def _extract(self, attempt: Attempt, wanted: Extract) -> None:
        """Frames of a video, which the caller fetches from the blob store."""
        writer = self._runtime.blobs.incoming()
        try:
            found = extract_frames(
                self._runtime.blobs.path(attempt.message.blob_key),
                self._decoder,
                wanted,
                max_side_px=self._settings.max_video_side_px,
                max_duration_s=self._settings.max_duration_s,
                write=writer.write,
                check=attempt.check,
            )
            attempt.check()
            writer.commit(wanted.into)
        finally:
            writer.discard()
        attempt.answer(found.to_wire())

    def _annotate(self, attempt: Attempt, wanted: Annotate) -> None:
        """A picture with faces drawn in, which the caller fetches from the blob store."""
        path = self._runtime.blobs.path(attempt.message.blob_key)
        pixels = decode_image(path, max_px=self._settings.max_image_px, upright=attempt.message.upright)
        picture = annotate(pixels, json.loads(self._runtime.blobs.read(wanted.faces)))
        attempt.check()
        self._runtime.blobs.put(wanted.into, picture)
        attempt.answer({"size_bytes": len(picture)})

    def _picture(self, attempt: Attempt) -> None:
        """An image of a call."""
        path = self._runtime.blobs.path(attempt.message.blob_key)
        pixels = decode_image(path, max_px=self._settings.max_image_px, upright=attempt.message.upright)[None]
        frames = Frames(pixels, np.zeros(1, np.int64), np.zeros(1, np.int64))
        attempt.put("frames", frames.to_arrays())
        ref = attempt.message.ref
        attempt.pass_on(ref.until if isinstance(ref, CallRef) and ref.until in PICTURE_STAGES else "detect")

    def _fetch_if_needed(self, attempt: Attempt, ref: StepRef) -> None:
        url = self._runtime.steps.media_url(ref)
        if url is None:
            return
        writer = self._runtime.blobs.incoming()
        try:
            fetch(
                url,
                writer,
                max_bytes=self._runtime.settings.api.max_media_bytes,
                timeout_s=self._settings.fetch_timeout_s,
                allow=self._settings.fetch_allowed,
                check=attempt.check,
            )
            writer.commit(attempt.message.blob_key)
        finally:
            writer.discard()


def _fill(writer: FrameWriter, pixels: Uint8s) -> None:
    writer.arrays["pixels"][0] = pixels
    writer.arrays["frame_index"][0] = 0
    writer.arrays["media_time_ms"][0] = 0
    writer.commit()
