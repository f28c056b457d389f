"""Which app answers, on which port, and whom."""

from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import Client

from api.compat import PREDECESSORS, open_ports, switched_on
from api.compat.mount import Mount, choose
from api.compat.reach import check_reach
from common.errors import ConfigurationError
from common.settings import Settings
from deploy.stack import services as programs


def app(name: str, *rules: str, method: str = "POST") -> Flask:
    made = Flask(name, static_folder=None)
    for rule in rules:
        made.add_url_rule(rule, rule, lambda **_: name, methods=[method])
    return made


def with_compat(text: str, **changes: object) -> Settings:
    return Settings.model_validate({"compat": text, **changes})


def test_nothing_is_served_unless_asked_for() -> None:
    assert switched_on(Settings()) == {}
    assert open_ports(Settings()) == ()
    assert "compat" not in {program.name for program in programs(Settings(), {})}


def test_names_and_all_switch_on_their_ports() -> None:
    assert list(switched_on(with_compat("all"))) == list(PREDECESSORS)
    assert set(switched_on(with_compat(" 000 ,"))) == {"000"}
    assert open_ports(with_compat("000")) == (10001, 10002)
    assert open_ports(with_compat("000", compat_port_offset=5)) == (10006, 10007)


def test_the_environment_says_it_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPIPE_COMPAT", "000")
    monkeypatch.setenv("FACEPIPE_COMPAT_PORT_OFFSET", "7")
    assert open_ports(Settings()) == (10008, 10009)


@pytest.mark.parametrize("wrong", [{"compat": "009"}, {"compat": "000", "compat_port_offset": 50_000 + 5_534}])
def test_a_wrong_setting_is_named(wrong: dict[str, object]) -> None:
    settings = Settings().model_copy(update={**wrong, "compat": (wrong["compat"],)})
    with pytest.raises(ConfigurationError, match="FACEPIPE_COMPAT"):
        open_ports(settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_beyond_loopback_it_must_be_wanted(host: str) -> None:
    with pytest.raises(ConfigurationError, match="FACEPIPE_COMPAT_OPEN"):
        check_reach(with_compat("all", host=host))
    with pytest.raises(ConfigurationError, match="FACEPIPE_COMPAT_OPEN"):
        programs(with_compat("all", host=host), {})
    check_reach(with_compat("all", host=host, compat_open=True))
    check_reach(with_compat("all"))


def test_one_program_listens_on_every_port() -> None:
    (program,) = [each for each in programs(with_compat("000", compat_port_offset=1), {}) if each.name == "compat"]
    binds = [program.argv[i + 1] for i, part in enumerate(program.argv) if part == "--bind"]
    assert binds == ["127.0.0.1:10002", "127.0.0.1:10003"]
    assert program.ready_url == "http://127.0.0.1:10002/healthz"


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [
        ("/a", "POST", "first"),
        ("/b/x", "POST", "second"),
        ("/b/x", "GET", "second"),  # knows the path: its 405 is the right answer
        ("/both", "POST", "first"),
        ("/both", "GET", "third"),
        ("/nobody", "GET", "first"),
    ],
)
def test_apps_of_one_port_are_told_apart_by_path_and_method(path: str, method: str, name: str) -> None:
    apps = [app("first", "/a", "/both"), app("second", "/b/<id>"), app("third", "/both", method="GET")]
    assert choose(apps, path, method).name == name


def test_the_socket_decides_the_port_not_the_host_header() -> None:
    mount = Mount({1001: [app("one", "/")], 1002: [app("two", "/")]})
    client = Client(mount)
    assert client.post("/", base_url="http://127.0.0.1:1001").text == "one"
    environ = {"SERVER_PORT": "1002", "HTTP_HOST": "127.0.0.1:1001"}
    assert client.post("/", environ_overrides=environ).text == "two"
    assert client.post("/", base_url="http://127.0.0.1:1003").status_code == 404
    assert client.get("/healthz", base_url="http://127.0.0.1:1002").status_code == 200


def test_lured_browsers_are_refused(make: Callable[..., Mount]) -> None:
    port = min(PREDECESSORS["000"].ports)
    client = Client(make())
    for headers in ({"Host": f"evil.example:{port}"}, {"Origin": "https://evil.example"}):
        answer = client.post("/", base_url=f"http://127.0.0.1:{port}", json={}, headers=headers)
        assert answer.status_code == 400
        assert set(answer.get_json()) == {"error"}
    opened = Client(make(host="0.0.0.0", compat_open=True))
    answer = opened.post("/", base_url=f"http://box:{port}", json={}, headers={"Origin": "https://evil.example"})
    assert "other sites" in answer.get_json()["error"]
    answer = opened.post("/", base_url=f"http://box:{port}", json={}, headers={"Origin": f"http://box:{port}"})
    assert "other sites" not in answer.get_json()["error"]


def test_an_empty_list_starts_nothing(make: Callable[..., Mount]) -> None:
    with pytest.raises(ConfigurationError, match="FACEPIPE_COMPAT is empty"):
        make(compat=())
