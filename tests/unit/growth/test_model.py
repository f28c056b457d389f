from dataclasses import replace

import pytest

from benchmarks.growth.model import Gpu, Hosts, Prices, Workload, capacity, core_ms, estimate, hosts_needed

PRICES = Prices(
    source_megapixel=1.0,
    taken_megapixel=2.0,
    input_megapixel=40.0,
    detect_frame=1.0,
    detect_face=0.5,
    crop=10.0,
    align_crop=1.0,
    around_frame=1.0,
    around_face=0.5,
    around_job=100.0,
    search_million=50.0,
    wait_s=0.5,
)
WORK = Workload(
    width_px=1000, height_px=1000, source_fps=25, sample_fps=5, input_px=250_000, faces=2, crops=0.1, segment_frames=10
)


def seconds(work: Workload, prices: Prices, hosts: Hosts, *, frames: int, jobs: int = 1) -> float:
    return estimate(work, prices, hosts, frames=frames, jobs=jobs).seconds


def test_work_is_price_times_amount() -> None:
    assert core_ms(WORK, PRICES) == pytest.approx({"decode": 7.0, "detect": 12.0, "embed": 1.1, "around": 2.0})


def test_a_gpu_takes_the_networks_off_the_cores() -> None:
    assert core_ms(WORK, PRICES, with_gpu=True) == pytest.approx(
        {"decode": 7.0, "detect": 2.0, "embed": 0.1, "around": 2.0}
    )


def test_cores_are_shared_by_all_stages() -> None:
    able = capacity(WORK, PRICES, Hosts(count=3, cores=4))
    assert able.frames_s == pytest.approx(12_000 / 22.1)
    assert (able.limit, able.dearest) == ("cores", "detect")
    assert able.video_hours_per_hour == pytest.approx(able.frames_s / 5)


def test_few_threads_of_a_stage_limit_many_cores() -> None:
    able = capacity(WORK, PRICES, Hosts(cores=16, threads={"decode": 4, "detect": 1}))
    assert able.limit == "detect threads"
    assert able.frames_s == pytest.approx(1000 / 12)


def test_threads_beyond_the_cores_bring_nothing() -> None:
    few, many = (capacity(WORK, PRICES, Hosts(threads={"decode": n, "detect": n})) for n in (2, 8))
    assert few == many


@pytest.mark.parametrize(("frames_s", "limit"), [(50.0, "gpus"), (100_000.0, "cores")])
def test_a_slow_gpu_limits_and_a_fast_one_leaves_the_cores_to(frames_s: float, limit: str) -> None:
    able = capacity(WORK, PRICES, Hosts(cores=8, gpus=1, gpu=Gpu(frames_s=frames_s, crops_s=1e9)))
    assert able.limit == limit
    assert able.frames_s == pytest.approx(min(frames_s, 8000 / 11.1), rel=1e-6)


def test_gpus_of_all_hosts_work() -> None:
    gpu = Gpu(frames_s=100, crops_s=10)
    able = capacity(WORK, PRICES, Hosts(count=2, cores=64, gpus=3, gpu=gpu))
    assert able.frames_s == pytest.approx(6 / (1 / 100 + 0.1 / 10))


def test_denser_material_costs_more_to_decode_and_no_more_to_detect() -> None:
    before, after = core_ms(WORK, PRICES), core_ms(replace(WORK, density=2.0), PRICES)
    assert after["decode"] == 2 * before["decode"]
    assert after["detect"] == before["detect"]


def test_every_further_face_and_a_larger_picture_cost_the_same_again() -> None:
    def total(work: Workload) -> float:
        return sum(core_ms(work, PRICES).values())

    none, some, more = (total(replace(WORK, faces=faces)) for faces in (0, 4, 8))
    assert more - some == pytest.approx(some - none)
    assert core_ms(replace(WORK, width_px=4000), PRICES)["decode"] == pytest.approx(28.0)


def test_a_long_job_comes_near_to_capacity_and_a_short_one_waits() -> None:
    hosts = Hosts(cores=2)
    rate = capacity(WORK, PRICES, hosts).frames_s
    assert 100_000 / seconds(WORK, PRICES, hosts, frames=100_000) == pytest.approx(rate, rel=1e-3)
    assert seconds(WORK, PRICES, hosts, frames=5) > PRICES.wait_s + 5 / rate


def test_one_job_on_one_core_takes_its_work_and_its_wait() -> None:
    took = seconds(WORK, PRICES, Hosts(cores=1), frames=100)
    assert took == pytest.approx(0.5 + 2.21 + 0.1)


def test_no_number_of_cores_makes_a_decoder_run_and_its_last_segment_shorter() -> None:
    few, many = (seconds(WORK, PRICES, Hosts(cores=cores), frames=100) for cores in (8, 800))
    assert few == many == pytest.approx(0.5 + 0.1 + (100 * 7 + 10 * 15.1) / 1000)
    longer = seconds(replace(WORK, run_frames=50), PRICES, Hosts(cores=800), frames=100)
    assert longer < many
    limits = [estimate(WORK, PRICES, Hosts(cores=cores), frames=100).limit for cores in (1, 800)]
    assert limits == ["cores", "decoder run"]


def test_jobs_at_once_share_the_wait() -> None:
    one, eight = (seconds(WORK, PRICES, Hosts(cores=2), frames=50 * jobs, jobs=jobs) for jobs in (1, 8))
    assert eight < 8 * one
    assert eight == pytest.approx(0.5 + 0.1 + 400 * 22.1 / 2000 + 7 * 0.1 / 2)


def test_a_large_gallery_costs_each_job_a_search() -> None:
    small, large = (seconds(replace(WORK, references=n), PRICES, Hosts(cores=1), frames=50) for n in (0, 2_000_000))
    assert large - small == pytest.approx(0.1)


def test_hosts_are_rounded_up() -> None:
    host = Hosts(cores=2)
    each = capacity(WORK, PRICES, host).video_hours_per_hour
    assert hosts_needed(WORK, PRICES, host, video_hours=each * 10, within_hours=10) == 1
    assert hosts_needed(WORK, PRICES, host, video_hours=each * 10.5, within_hours=10) == 2
    assert hosts_needed(WORK, PRICES, host, video_hours=0, within_hours=10) == 1


def test_more_frames_than_there_are_cannot_be_looked_at() -> None:
    with pytest.raises(ValueError, match="at most source_fps"):
        Workload(source_fps=5, sample_fps=10)
    with pytest.raises(ValueError, match="above 0"):
        Workload(sample_fps=0)


def test_nothing_does_nothing() -> None:
    with pytest.raises(ValueError, match="at least one host"):
        capacity(WORK, PRICES, Hosts(count=0))
