"""Prices of the model, of this machine: kernels from the profile, everything around them from the stack's own bill.

The profile runs once a core at the same time, because a core that shares memory and caches with busy neighbours is
slower than one alone, and because that is how the pools work.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.growth.measure import Run
from benchmarks.growth.model import Prices, Workload, core_ms

Profile = Mapping[str, float]
"""Kernel to ms of a core a frame, as `benchmarks.pipeline.profile` names them."""

_DETECT_NETWORK, _EMBED_NETWORK = "detect: the network", "embed: the network"


@dataclass(frozen=True, slots=True)
class Bills:
    """What the prices are derived from.

    Attributes:
        sparse: profile of the reference material at the usual sampling.
        dense: profile of the same at a higher one.
        faceless, crowded: profiles of tiles without faces, and with many.
        crowd: the stack's run of the crowded tiles.
        video: the stack's run of the reference material.
        blink: the stack's run of a video of a second.
        blinks: of several of these at once.
    """

    sparse: Profile
    dense: Profile
    faceless: Profile
    crowded: Profile
    crowd: Run
    video: Run
    blink: Run
    blinks: Run
    blink_jobs: int


def derive_from(figures: Mapping[str, Any]) -> Prices:
    """Prices from the bills in figures, and that of a search from the photographs' latencies.

    Raises:
        KeyError: the figures are of a run that did not end.
    """
    runs = {name: Run(**figures["bills"][name]) for name in ("crowd", "video", "blink", "blinks")}
    bills = Bills(**{**figures["bills"], **runs})
    prices = derive(bills, Workload(**figures["material"]), dense_fps=figures["dense_fps"])
    return replace(prices, search_million=_search_price(figures["points"]))


def _search_price(points: Sequence[Mapping[str, Any]]) -> float:
    """Ms that a million references add to the search for a photograph; 0 where no gallery grew."""
    times = [(one["x"], one["measured"]["search_ms"]) for one in points if one["curve"] == "gallery"]
    if len(times) < 2:
        return 0.0
    (few, before), (many, after) = min(times), max(times)
    return float(max(0.0, (after - before) / (many - few) * 1e6))


def profile(video: Path, sample_fps: float) -> Profile:
    """Ms of a core a frame by kernel, the mean over one process a core."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.pipeline.profile", f"{sample_fps:g}", str(video)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(len(os.sched_getaffinity(0)))
    ]
    tables = []
    for process in processes:
        printed, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"the profile of {video.name} failed; it says above why")
        tables.append(json.loads(printed.strip().splitlines()[-1])["ms_a_frame"])
    return {name: statistics.mean(table.get(name, 0.0) for table in tables) for name in tables[0]}


def total(table: Profile, stage: str) -> float:
    """Of all kernels of a stage."""
    return sum(ms for name, ms in table.items() if name.startswith(f"{stage}:"))


def derive(bills: Bills, material: Workload, *, dense_fps: float) -> Prices:
    """Prices from bills.

    Args:
        material: the reference material at the usual sampling, with its faces and crops.
        dense_fps: sampling of `bills.dense`.
    """
    megapixels = material.width_px * material.height_px / 1e6
    sparse_ratio, dense_ratio = (material.source_fps / fps for fps in (material.sample_fps, dense_fps))
    decode, decode_dense = total(bills.sparse, "decode"), total(bills.dense, "decode")
    source = max(0.0, (decode - decode_dense) / (sparse_ratio - dense_ratio))
    network = bills.sparse[_DETECT_NETWORK]
    rest_faceless, rest_crowded = (
        total(table, "detect") - table[_DETECT_NETWORK] for table in (bills.faceless, bills.crowded)
    )
    crops = bills.crowd.crops / bills.crowd.frames
    crop = bills.crowded[_EMBED_NETWORK] / crops
    kernels = Prices(
        source_megapixel=source / megapixels,
        taken_megapixel=max(0.0, decode - source * sparse_ratio) / megapixels,
        input_megapixel=network / (material.input_px / 1e6),
        detect_frame=rest_faceless,
        detect_face=max(0.0, rest_crowded - rest_faceless) / (bills.crowd.faces / bills.crowd.frames),
        crop=crop,
        align_crop=total(bills.crowded, "embed") / crops - crop,
        around_frame=0.0,
        around_face=0.0,
        around_job=0.0,
        search_million=0.0,
        wait_s=0.0,
    )
    return _add_surroundings(kernels, bills, material)


def _add_surroundings(kernels: Prices, bills: Bills, material: Workload) -> Prices:
    """Bills of one long job, of many short ones and of a crowd: what a frame, a job and a face cost around."""
    kernel_ms = sum(core_ms(material, kernels).values())
    video_ms, blinks_ms = (1000 * run.cpu_s - kernel_ms * run.frames for run in (bills.video, bills.blinks))
    # With the few faces of these, video_ms = frames * a + 1 * b;  blinks_ms = frames' * a + jobs * b
    divisor = bills.video.frames * bills.blink_jobs - bills.blinks.frames
    frame_ms = max(0.0, (video_ms * bills.blink_jobs - blinks_ms) / divisor)
    job_ms = max(0.0, (blinks_ms - frame_ms * bills.blinks.frames) / bills.blink_jobs)
    crowd = replace(
        material, faces=bills.crowd.faces / bills.crowd.frames, crops=bills.crowd.crops / bills.crowd.frames
    )
    crowd_kernels_ms = sum(bills.crowded.values())
    crowd_ms = 1000 * bills.crowd.cpu_s - job_ms - (crowd_kernels_ms + frame_ms) * bills.crowd.frames
    more_faces = crowd.faces - material.faces
    face_ms = max(0.0, crowd_ms / bills.crowd.frames / more_faces)
    frame_ms = max(0.0, frame_ms - face_ms * material.faces)
    priced = replace(kernels, around_frame=frame_ms, around_face=face_ms, around_job=job_ms)
    # Of a video of one segment nothing is shared.
    busy_ms = bills.blink.frames * sum(core_ms(material, priced).values()) + job_ms
    return replace(priced, wait_s=max(0.0, bills.blink.seconds - busy_ms / 1000))
