"""The process of live streams is part of the stack exactly where it can do something."""

from importlib.util import find_spec

import pytest

from common.contracts import LIVE
from common.settings import Settings
from deploy import stack
from deploy.stack import services


def names(compat: str) -> set[str]:
    return {service.name for service in services(Settings.model_validate({"compat": compat}), {})}


def test_it_runs_with_the_project_whose_streams_it_holds() -> None:
    assert (LIVE in names("001")) == (LIVE in names("all")) == (find_spec("aiortc") is not None)
    assert LIVE not in names("000")
    assert LIVE not in names("")


def test_without_webrtc_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "find_spec", lambda name: None)
    assert LIVE not in names("001")
    assert "compat" in names("001")
