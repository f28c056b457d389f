"""`make capacity`: what some hosts get done and how many it takes, by the model and prices that were measured."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.growth.model import Gpu, Hosts, Prices, Workload, capacity, hosts_needed

#: Prices that come with the checkout; those of another machine: `make bench-growth ARGS="--json figures.json"`.
_FIGURES = Path("docs/performance/figures.json")


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make capacity", description=__doc__)
    parser.add_argument("--video-hours", type=float, default=1000.0, help="how much footage")
    parser.add_argument("--within-days", type=float, default=7.0, help="how soon it is to be done")
    parser.add_argument("--width", type=int, default=1920, help="of the video, px")
    parser.add_argument("--height", type=int, default=1080, help="of the video, px")
    parser.add_argument("--source-fps", type=float, default=25.0, help="frames a second in the video")
    parser.add_argument("--sample-fps", type=float, default=5.0, help="frames a second that are looked at")
    parser.add_argument("--faces", type=float, default=2.0, help="in a frame")
    parser.add_argument("--cores", type=int, default=2, help="of a host")
    parser.add_argument("--gpus", type=int, default=0, help="of a host; needs --gpu-frames and --gpu-crops")
    parser.add_argument(
        "--gpu-frames", type=float, help="detected a second by one GPU: python -m benchmarks.growth.networks cuda:0"
    )
    parser.add_argument("--gpu-crops", type=float, help="embedded a second by one GPU; printed there too")
    parser.add_argument("--prices", type=Path, default=_FIGURES, metavar="JSON", help="of this machine or another")
    return parser


def main() -> None:
    """Compute, and print."""
    parser = make_parser()
    asked = parser.parse_args()
    if asked.gpus and not (asked.gpu_frames and asked.gpu_crops):
        parser.error(
            "--gpus needs --gpu-frames and --gpu-crops, which `python -m benchmarks.growth.networks cuda:0` prints"
        )
    try:
        figures = json.loads(asked.prices.read_text())
        prices = Prices(**figures["prices"])
        crops = crops_a_face(figures)
        work = Workload(
            width_px=asked.width,
            height_px=asked.height,
            source_fps=asked.source_fps,
            sample_fps=asked.sample_fps,
            faces=asked.faces,
            crops=asked.faces * crops,
        )
        host = Hosts(
            cores=asked.cores, gpus=asked.gpus, gpu=Gpu(asked.gpu_frames, asked.gpu_crops) if asked.gpus else None
        )
        one = capacity(work, prices, host)
    except OSError as error:
        parser.error(
            f'{asked.prices} cannot be read ({error.strerror}): make bench-growth ARGS="--json FILE" writes one'
        )
    except (KeyError, TypeError):
        parser.error(f'{asked.prices} holds no prices: make bench-growth ARGS="--json FILE" writes such a file')
    except ValueError as error:
        parser.error(str(error))
    hosts = hosts_needed(work, prices, host, video_hours=asked.video_hours, within_hours=asked.within_days * 24)
    console = Console()
    table = Table("stage", "ms of a core a frame", "share")
    for stage, ms in one.core_ms.items():
        table.add_row(stage, f"{ms:.2f}", f"{ms / sum(one.core_ms.values()):.0%}")
    console.print(table)
    console.print(
        f"One host: {one.frames_s:.1f} frames/s, {one.video_hours_per_hour:.1f} hours of video in an hour. Its"
        f" {one.limit} are used up first; {one.dearest} takes most of the cores."
    )
    console.print(
        f"{asked.video_hours:g} hours of video within {asked.within_days:g} days: {hosts} such host(s), busy for"
        f" {asked.video_hours / one.video_hours_per_hour / hosts / 24:.1f} days."
    )


def crops_a_face(figures: dict[str, list[dict[str, dict[str, float]]]]) -> float:
    """Crops embedded for each face that was found, over all points that were measured."""
    work = [point["work"] for point in figures["points"]]
    faces = sum(one["faces"] for one in work)
    return sum(one["crops"] for one in work) / faces if faces else 0.0


if __name__ == "__main__":
    main()
