"""Which URLs may be fetched from."""

import ipaddress

import pytest

from common.errors import BadInputError
from common.media_url import check_url, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001:db8::1",
        "2001:0:808:808::f5ff:fffe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_private_and_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "169.254.169.254",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "10.0.0.1:8080",
    ],
)
def test_every_spelling_of_a_private_host_is_forbidden(host: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check_url(f"http://{host}/video.mp4")
    assert (caught.value.code, caught.value.field) == ("forbidden_url", "media_url")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "forbidden_url"),
        ("video.mp4", "forbidden_url"),
        ("file:///etc/passwd", "forbidden_url"),
        ("ftp://8.8.8.8/a", "forbidden_url"),
        ("gopher://8.8.8.8/a", "forbidden_url"),
        ("http://user@8.8.8.8/a", "forbidden_url"),
        ("http://user:secret@8.8.8.8/a", "forbidden_url"),
        ("http://8.8.8.8@127.0.0.1/a", "forbidden_url"),
        ("http:///a", "bad_input"),
        ("http://8.8.8.8:99999/a", "bad_input"),
        ("http://[::1/a", "bad_input"),
        ("http://8.8.8.8/a b", "bad_input"),
        ("http://8.8.8.8/a\r\nHost: x", "bad_input"),
        ("http://8.8.8.8\t/a", "bad_input"),
        ("http://8.8.8.8/" + "a" * 2000, "bad_input"),
        ("http://" + "a" * 70 + ".example/", "bad_input"),
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str, code: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check_url(url)
    assert (caught.value.code, caught.value.field) == (code, "media_url")


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "target"),
    [
        ("http://8.8.8.8", "http", "8.8.8.8", 80, "/"),
        ("HTTPS://8.8.8.8:8443/a/b.mp4?x=1&y=%20z#part", "https", "8.8.8.8", 8443, "/a/b.mp4?x=1&y=%20z"),
        ("https://[2606:4700::1111]/ü?q=ß", "https", "2606:4700::1111", 443, "/%C3%BC?q=%C3%9F"),
    ],
)
def test_a_public_url_is_taken_apart(url: str, scheme: str, host: str, port: int, target: str) -> None:
    checked = check_url(url)
    assert (checked.scheme, checked.host, checked.port, checked.target) == (scheme, host, port, target)
    assert checked.addresses == (host,)


def test_an_operator_may_allow_a_private_host_by_name_and_port() -> None:
    allow = frozenset({"127.0.0.1:8080", "[::1]:80"})
    assert check_url("http://127.0.0.1:8080/a", allow).addresses == ("127.0.0.1",)
    assert check_url("http://[::1]/a", allow).addresses == ("::1",)
    for url in ("http://127.0.0.1:8081/a", "http://127.0.0.1/a", "http://localhost:8080/a", "https://[::1]/a"):
        with pytest.raises(BadInputError):
            check_url(url, allow)
