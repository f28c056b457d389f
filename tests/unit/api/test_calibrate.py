"""Asking for a calibration over HTTP."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.services import Services
from tests.unit.api.requests import check_error

URL = "/v1/galleries/staff/calibrate"


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})


@pytest.mark.parametrize(
    ("body", "fmr", "fpir"), [({}, 1e-3, None), ({"fmr": 0.01, "save": True}, 0.01, None), ({"fpir": 0.05}, None, 0.05)]
)
def test_a_calibration_is_a_job(
    client: FlaskClient, services: Services, body: dict[str, Any], fmr: float | None, fpir: float | None
) -> None:
    answer = client.post(URL, json=body)
    assert answer.status_code == 202
    job = services.jobs.get(answer.get_json()["id"])
    assert (job["kind"], job["model_id"], job["options"]["gallery"]) == ("calibrate", "test-model", "staff")
    assert (job["options"]["fmr"], job["options"]["fpir"]) == (fmr, fpir)
    assert job["options"]["save"] == body.get("save", False)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"fmr": 0}, "fmr"), ({"fmr": 1}, "fmr"), ({"fpir": -1}, "fpir"), ({"fmr": 0.1, "fpir": 0.1}, None)],
)
def test_a_wish_that_is_no_rate_is_refused(client: FlaskClient, body: dict[str, Any], field: str | None) -> None:
    check_error(client.post(URL, json=body), 400, "bad_input", field)


def test_only_galleries_are_calibrated_and_only_calibrations_have_a_picture(
    client: FlaskClient, services: Services
) -> None:
    check_error(client.post("/v1/galleries/absent/calibrate", json={}), 404, "not_found", "gallery")
    job = client.post(URL, json={}).get_json()["id"]
    check_error(client.get(f"/v1/jobs/{job}/calibration.png"), 404, "not_found")
    services.blobs.put(f"jobs/{job}/calibration.png", b"picture")
    answer = client.get(f"/v1/jobs/{job}/calibration.png")
    assert (answer.mimetype, answer.data) == ("image/png", b"picture")
