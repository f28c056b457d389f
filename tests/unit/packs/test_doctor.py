"""What the doctor says of thresholds that nobody measured."""

import json
from pathlib import Path

import pytest

from common.settings import MatchSettings, Settings
from deploy.checks import check_models
from tests.unit.packs.networks import write_pack


@pytest.mark.parametrize(
    ("is_provisional", "setting", "status"), [(False, None, "ok"), (True, None, "warn"), (True, 0.5, "ok")]
)
def test_a_provisional_threshold_is_a_warning_until_one_is_set(
    tmp_path: Path, is_provisional: bool, setting: float | None, status: str
) -> None:
    manifest = write_pack(tmp_path / "toy")
    manifest["files"][1] |= {"provisional": is_provisional, "min_similarity_origin": "a guess"}
    (tmp_path / "toy" / "manifest.json").write_text(json.dumps(manifest))
    settings = Settings(model_pack="toy", models_path=(tmp_path,), match=MatchSettings(min_similarity=setting))
    finding = check_models(settings)
    assert finding.status == status
    assert ("facepipe calibrate" in finding.advice) is (status == "warn")
