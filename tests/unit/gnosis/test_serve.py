"""The service of predecessor 001 by its `.env`, and the older routes by TLS and on chosen ports."""

import os
import shutil
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.compat import open_ports, ports_of
from common.errors import BadInputError, ConfigurationError
from common.settings import Settings
from deploy.embedded.redis import free_port
from deploy.gnosis.serve import read_env_file, translate
from deploy.stack import ROOT, compat_url, services
from deploy.units import answers_ok

TEMPLATE = ROOT / "deploy" / "gnosis" / "base.env"


def settings_of(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Settings()


class TestEnvFile:
    def test_the_template_starts_on_loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_of(translate(read_env_file(TEMPLATE)), monkeypatch)
        assert settings.host == "127.0.0.1"
        assert open_ports(settings) == (5000,)
        assert (settings.detect.device, settings.embed.device, settings.log_level) == ("cpu", "cpu", "info")
        assert not settings.compat_open
        assert compat_url(settings) == "http://127.0.0.1:5000"
        assert "compat" in {each.name for each in services(settings, {})}

    def test_an_old_file_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / ".env"
        file.write_text(
            "# comment\nexport SERVER_IP='0.0.0.0'\n\nSERVER_PORT = 6543  # port\nDETECTOR_LOAD_DEVICE=1\n"
            'RECOGNIZER_LOAD_DEVICE=""\nLOGGER_LEVEL=DEBUG\nENV=development\nOTHER=x\n'
        )
        settings = settings_of(translate(read_env_file(file)), monkeypatch)
        assert (settings.host, open_ports(settings)) == ("0.0.0.0", (6543,))
        assert (settings.detect.device, settings.embed.device, settings.log_level) == ("cuda:1", "cpu", "debug")
        assert settings.compat_open

    def test_nothing_at_all_has_defaults(self, tmp_path: Path) -> None:
        assert translate(read_env_file(tmp_path / "none")) == translate(read_env_file(TEMPLATE))

    @pytest.mark.parametrize("line", ["no equals", "1x=2", "A=two words", "A='open"])
    def test_a_broken_line_is_named(self, line: str, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        file.write_text(f"ENV=x\n{line}\n")
        with pytest.raises(BadInputError, match="line 2"):
            read_env_file(file)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SERVER_PORT", "x"),
            ("SERVER_PORT", "70000"),
            ("DETECTOR_LOAD_DEVICE", "gpu"),
            ("RECOGNIZER_LOAD_DEVICE", "-2"),
            ("LOGGER_LEVEL", "chatty"),
        ],
    )
    def test_a_wrong_value_names_its_variable(self, name: str, value: str) -> None:
        with pytest.raises(BadInputError, match=name):
            translate({name: value})


class TestPorts:
    def test_chosen_ports_stand_in_for_the_original_ones_of_that_project_alone(self) -> None:
        settings = Settings.model_validate(
            {"compat": "000,001", "compat_ports": "001=8443, 001=8444", "compat_port_offset": 1}
        )
        assert ports_of(settings) == {"000": (10002, 10003), "001": (8443, 8444)}
        assert open_ports(settings) == (8443, 8444, 10002, 10003)

    @pytest.mark.parametrize("text", ["009=80", "001", "001=", "001=x", "001=0", "001=65536", "=80"])
    def test_a_wrong_one_is_named(self, text: str) -> None:
        with pytest.raises(ConfigurationError, match="FACEPIPE_COMPAT_PORTS"):
            ports_of(Settings.model_validate({"compat": "001", "compat_ports": text}))


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> dict[str, Any]:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("openssl is not installed, which makes the certificate of this test")
        chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        request += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
        subprocess.run([program, *request], check=True, capture_output=True)
        return {"compat_certificate": chain, "compat_certificate_key": key}

    def test_the_routes_answer_by_https_where_a_certificate_is_set(
        self, certificate: dict[str, Any], redis_url: str, tmp_path: Path
    ) -> None:
        env = {
            "FACEPIPE_HOME": str(tmp_path / "home"),
            "FACEPIPE_DATABASE_URL": "postgresql://127.0.0.1:1/none",
            "FACEPIPE_REDIS_URL": redis_url,
            **translate(
                {
                    "SERVER_PORT": str(free_port()),
                    "SERVER_SSL_CONTEXT": str(certificate["compat_certificate"]),
                    "SERVER_SSL_KEYFILE": str(certificate["compat_certificate_key"]),
                }
            ),
        }
        with pytest.MonkeyPatch.context() as patch:
            settings = settings_of(env, patch)
        (program,) = [each for each in services(settings, {}) if each.name == "compat"]
        assert program.ready_url.startswith("https://127.0.0.1:")
        with subprocess.Popen(
            program.argv, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            try:
                deadline = time.monotonic() + 60
                while not answers_ok(program.ready_url) and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                trusted = ssl.create_default_context(cafile=certificate["compat_certificate"])
                page = httpx.get(f"{compat_url(settings)}/docs", verify=trusted)
                assert (page.status_code, page.url.scheme) == (200, "https")
                assert "Gnosis Recognition API" in page.text
            finally:
                process.terminate()

    @pytest.mark.parametrize("missing", ["compat_certificate", "compat_certificate_key"])
    def test_half_of_it_stops_the_start(self, missing: str, tmp_path: Path) -> None:
        file = tmp_path / "there.pem"
        file.write_text("")
        both = {"compat_certificate": file, "compat_certificate_key": file}
        for wrong in (None, tmp_path / "none.pem"):
            settings = Settings.model_validate({"compat": "001", **both, missing: wrong})
            with pytest.raises(ConfigurationError, match=f"FACEPIPE_{missing.upper()} "):
                services(settings, {})
