"""Many tiny jobs at once: none lost, none doubled, and the API's memory stays where it was."""

import io
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from deploy.child import children_of
from facepipe import Client
from tests.chaos.house import House
from tests.chaos.load import patiently

_THREADS = 8
_WARM_UP = 50
_MAX_GROWTH_BYTES = 32 << 20


def burst(folder: Path, *, jobs: int, say: Callable[[str], None]) -> list[str]:
    """Launch a stack below `folder`, submit `jobs` pictures of a few pixels as fast as it takes them, and judge it.

    Returns:
        Every broken promise, in words.
    """
    house = House(folder)
    try:
        _submit_all(house.client, _WARM_UP)
        before = _api_bytes(house)
        ids = _submit_all(house.client, jobs)
        grown = _api_bytes(house) - before
        say(f"{jobs} jobs accepted; the API grew from {before >> 20} MiB by {grown / 2**20:.1f} MiB")
        total = jobs + _WARM_UP
        took_s = house.wait(lambda: _count(house, "state = 'succeeded'") == total, f"{total} jobs to succeed")
        say(f"all succeeded {took_s:.1f} s after the last one was accepted")
        wrong = house.leftovers()
        if len(set(ids)) != jobs or _count(house, "true") != total:
            wrong.append(f"{jobs} were asked for, {len(set(ids))} accepted, {_count(house, 'true') - _WARM_UP} stored")
        if grown > _MAX_GROWTH_BYTES:
            wrong.append(f"the API grew by {grown >> 20} MiB")
        return wrong
    finally:
        house.close()


def _submit_all(client: Client, count: int) -> list[str]:
    def submit(number: int) -> str:
        picture, key = _picture(number), uuid.uuid4().hex
        return patiently(lambda: client.jobs.submit(picture, idempotency_key=key).id)

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(submit, range(count)))


def _picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256, number // 256 % 256, 0)).save(file, "PNG")
    return file.getvalue()


def _api_bytes(house: House) -> int:
    """Resident memory of the API's processes."""
    master = house.stack.pid_of("gunicorn")
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in (master, *children_of(master))]
    return sum(pages) * 4096


def _count(house: House, condition: str) -> int:
    rows = house.read(lambda cursor: cursor.execute(f"select count(*) as jobs from jobs where {condition}"))
    return int(str(rows[0]["jobs"]))
