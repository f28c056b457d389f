"""Several processes of a pool on one GPU."""

import pytest

from common.settings import Settings
from deploy.stack import services
from deploy.up import parse_pool

LIMIT = "FACEPIPE_DETECT__MEMORY_LIMIT_BYTES"


def environments(text: str, **detect: object) -> list[dict[str, str]]:
    stage, devices = parse_pool(text)
    programs = services(Settings.model_validate({"detect": detect}), {stage: devices})
    return [dict(program.env) for program in programs if program.name.startswith("detect")]


def test_each_is_pinned_and_gets_its_share_of_the_memory() -> None:
    both = environments("detect=cuda:0,cuda:0,cuda:1", memory_limit_bytes=6 << 30)
    assert [env["FACEPIPE_DETECT__DEVICE"] for env in both] == ["cuda:0", "cuda:0", "cuda:1"]
    assert [env.get(LIMIT) for env in both] == [str(3 << 30), str(3 << 30), None]


@pytest.mark.parametrize(("pool", "limit_bytes"), [("detect=cpu,cpu", 1 << 30), ("detect=cuda:0,cuda:0", 0)])
def test_nothing_is_shared_out_on_a_cpu_or_without_a_limit(pool: str, limit_bytes: int) -> None:
    assert [env.get(LIMIT) for env in environments(pool, memory_limit_bytes=limit_bytes)] == [None, None]
