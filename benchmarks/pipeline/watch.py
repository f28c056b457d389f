"""What a running stack costs: processor time, memory, bytes through the kernel, and messages, read from outside."""

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from deploy.home import Home

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 10.0
_PSS = re.compile(r"^(Pss|Pss_Shmem): +(\d+) kB$", re.MULTILINE)
_SERIES = re.compile(
    r'^facepipe_(steps_done|busy_seconds|model_runs|model_items)_total\{stage="(\w+)"\} (\S+)$', re.MULTILINE
)

Counters = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Costs:
    """Since the watch began.

    Attributes:
        cpu_s: processor time of all processes of the stack, of those that ended too.
        written_bytes: handed to the kernel by write calls: pipes, sockets, files.
        peak_bytes: memory at most, in samples ten seconds apart: private pages, shared ones in proportion, and the
            frame store once.
        counters: (name, stage) to the increase of the pools' own counters.
    """

    cpu_s: float
    written_bytes: int
    peak_bytes: int
    counters: Counters


class Watch:
    """A context manager around what is measured; `costs` is there at its end.

    Args:
        home: of the stack.
    """

    def __init__(self, home: Path) -> None:
        stack = Home(home).running()
        if stack is None:
            raise RuntimeError(f"no stack runs in {home}")
        self._launcher = stack.pid
        self._url = stack.api_url
        self._frames = self._find_frames()
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._peak_bytes = 0
        self.costs: Costs

    def __enter__(self) -> Self:
        self._counters = self._read_counters()
        self._cpu, self._written = self._totals()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cpu, written = self._totals()
        self._stop.set()
        self._sampler.join()
        counters = {
            key: value - self._counters.get(key, 0)
            for key, value in (self._read_counters() if error is None else {}).items()
        }
        self.costs = Costs(cpu - self._cpu, written - self._written, self._peak_bytes, counters)

    def _read_counters(self) -> dict[tuple[str, str], float]:
        text = httpx.get(f"{self._url}/metrics", timeout=30).text
        return {(name, stage): float(value) for name, stage, value in _SERIES.findall(text)}

    def _totals(self) -> tuple[float, int]:
        cpu, written = 0.0, 0
        for process in self._processes():
            with suppress(OSError):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                cpu += sum(int(field) for field in fields[11:15]) / _TICKS
                written += int(re.findall(r"^wchar: (\d+)$", (process / "io").read_text(), re.MULTILINE)[0])
        return cpu, written

    def _sample(self) -> None:
        while True:
            total = 0
            for process in self._processes():
                with suppress(OSError):
                    total += _memory_of(process)
            for entry in self._frames.glob("*"):
                with suppress(OSError):
                    total += entry.stat().st_size
            self._peak_bytes = max(self._peak_bytes, total)
            if self._stop.wait(_SAMPLE_S):
                return

    def _processes(self) -> Iterator[Path]:
        """The launcher, and all that descend from it."""
        parents: dict[int, int] = {}
        for path in _PROC.iterdir():
            if path.name.isdigit():
                with suppress(OSError):
                    parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        for pid in parents:
            one = pid
            while one in parents and one != self._launcher:
                one = parents[one]
            if one == self._launcher:
                yield _PROC / str(pid)

    def _find_frames(self) -> Path:
        """The folder of the frame store, by what the launcher gave its workers."""
        for process in self._processes():
            with suppress(OSError):
                for line in (process / "environ").read_bytes().split(b"\0"):
                    if line.startswith(b"FACEPIPE_FRAMES__DIRECTORY="):
                        return Path(os.fsdecode(line.partition(b"=")[2]))
        raise RuntimeError("no process of the stack knows where frames lie")


def _memory_of(process: Path) -> int:
    """Bytes in memory, but for what it maps of the frame store: PostgreSQL alone shares other memory."""
    found = {name: int(kilobytes) * 1024 for name, kilobytes in _PSS.findall((process / "smaps_rollup").read_text())}
    is_database = (process / "comm").read_text().startswith("postgres")
    return found.get("Pss", 0) - (0 if is_database else found.get("Pss_Shmem", 0))
