import os
from dataclasses import asdict

import pytest

from benchmarks.growth.measure import Run
from benchmarks.growth.model import Hosts, Prices, Workload, core_ms, estimate
from benchmarks.growth.prices import Bills, Profile, derive, derive_from

TRUTH = Prices(
    source_megapixel=1.5,
    taken_megapixel=0.8,
    input_megapixel=50.0,
    detect_frame=0.6,
    detect_face=0.1,
    crop=6.0,
    align_crop=0.7,
    around_frame=1.2,
    around_face=0.2,
    around_job=60.0,
    search_million=0.0,
    wait_s=0.3,
)
MATERIAL = Workload(faces=2.0, crops=0.2)


def profile(work: Workload) -> Profile:
    """What a flawless profile of this workload would print."""
    costs = core_ms(work, TRUTH)
    network = TRUTH.input_megapixel * work.input_px / 1e6
    return {
        "decode: ffmpeg": costs["decode"],
        "detect: the network": network,
        "detect: everything else": costs["detect"] - network,
        "embed: the network": work.crops * TRUTH.crop,
        "embed: align": work.crops * TRUTH.align_crop,
    }


def run(work: Workload, frames: int, jobs: int = 1) -> Run:
    """What a stack that keeps to the model would be billed."""
    cpu_s = (sum(core_ms(work, TRUTH).values()) * frames + TRUTH.around_job * jobs) / 1000
    likely = estimate(work, TRUTH, Hosts(cores=len(os.sched_getaffinity(0))), frames=frames, jobs=jobs)
    return Run(frames, round(frames * work.faces), likely.seconds, cpu_s, 0.0, round(frames * work.crops))


def make_bills() -> Bills:
    crowded, faceless = (Workload(faces=faces, crops=crops) for faces, crops in ((24.0, 2.4), (0.0, 0.0)))
    return Bills(
        sparse=profile(MATERIAL),
        dense=profile(Workload(sample_fps=12.5, faces=2.0, crops=0.2)),
        faceless=profile(faceless),
        crowded=profile(crowded),
        crowd=run(crowded, 150),
        video=run(MATERIAL, 300),
        blink=run(MATERIAL, 5),
        blinks=run(MATERIAL, 40, 8),
        blink_jobs=8,
    )


def test_prices_are_found_again_in_the_bills_that_they_make() -> None:
    found = derive(make_bills(), MATERIAL, dense_fps=12.5)
    for name in ("source_megapixel", "taken_megapixel", "input_megapixel", "detect_frame", "detect_face", "crop"):
        assert getattr(found, name) == pytest.approx(getattr(TRUTH, name), rel=1e-6), name
    assert found.align_crop == pytest.approx(TRUTH.align_crop)
    assert found.around_frame == pytest.approx(TRUTH.around_frame)
    assert found.around_face == pytest.approx(TRUTH.around_face)
    assert found.around_job == pytest.approx(TRUTH.around_job)
    assert found.wait_s == pytest.approx(TRUTH.wait_s, abs=1e-3)


def test_a_search_costs_what_a_larger_gallery_adds_to_a_photograph() -> None:
    def photographs(*galleries: tuple[int, float]) -> list[dict[str, object]]:
        return [{"curve": "gallery", "x": size, "measured": {"search_ms": ms}} for size, ms in galleries]

    figures = {"bills": asdict(make_bills()), "material": asdict(MATERIAL), "dense_fps": 12.5}
    assert derive_from(figures | {"points": photographs((10, 40.0), (100_010, 44.0))}).search_million == 40.0
    assert derive_from(figures | {"points": photographs((10, 40.0), (100_010, 39.0))}).search_million == 0.0
    assert derive_from(figures | {"points": photographs((10, 40.0))}).search_million == 0.0
