"""Lock files pin, with hashes, what pyproject.toml asks for."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT

GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
LOCKS = {
    "app": ["app", "cpu"],
    "gpu": ["app", "gpu"],
    "local": ["app", "cpu", "embedded", "dev"],
    "live": ["live"],
}


def pinned(lock: str) -> dict[str, Version]:
    """Package to version."""
    text = (ROOT / "locks" / f"{lock}.txt").read_text()
    return {canonicalize_name(name): Version(version) for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.M)}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_its_groups(lock: str) -> None:
    versions = pinned(lock)
    wrong = []
    for group in LOCKS[lock]:
        for text in GROUPS[group]:
            requirement = Requirement(text)
            version = versions.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{text}: locked {version}")
    assert wrong == [], "run `make lock`"


@pytest.mark.parametrize("lock", [*LOCKS, "bootstrap"])
def test_every_pin_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / "locks" / f"{lock}.txt").read_text(), flags=re.M)
    assert [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


def test_the_servers_agree_on_every_version_but_the_runtime() -> None:
    app, gpu, local = pinned("app"), pinned("gpu"), pinned("local")
    assert {name: local[name] for name in app} == app
    assert {name for name in app if gpu.get(name) != app[name]} == {"onnxruntime"}


def test_the_extra_changes_no_version_that_is_there_without_it() -> None:
    live, local = pinned("live"), pinned("local")
    assert {name: local[name] for name in live if name in local} == {n: live[n] for n in live if n in local}


@pytest.mark.parametrize("lock", LOCKS)
def test_only_the_headless_opencv_is_locked(lock: str) -> None:
    assert "opencv-python" not in pinned(lock)


def test_the_gpu_lock_has_one_runtime_and_its_cuda_libraries() -> None:
    gpu = pinned("gpu")
    assert "onnxruntime" not in gpu
    assert [name for name in gpu if name.startswith("nvidia-cudnn")] != []
