"""What `Keys` promises, on the real database."""

import pytest

from common.errors import NotFoundError
from common.store.database import Database
from common.store.keys import Keys


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


def test_there_are_no_keys_at_first(keys: Keys) -> None:
    assert keys.list() == []


def test_a_token_opens_until_it_is_revoked(keys: Keys) -> None:
    key_id, token = keys.create("ci")
    assert token.startswith(f"fp_{key_id}_")
    assert keys.check(token) == key_id
    keys.revoke(key_id)
    assert keys.check(token) is None


@pytest.mark.parametrize(
    "mangle",
    [
        lambda token: "",
        lambda token: "fp__",
        lambda token: token[:-1],
        lambda token: token + "0",
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: token.replace("fp_", "fp_0", 1),
        lambda token: f"fp_{'0' * 12}_{token.rsplit('_', 1)[1]}",
        lambda token: token + "\0",
        lambda token: token + "\n",
        lambda token: "é" * 60,
    ],
)
def test_a_token_that_is_not_quite_right_opens_nothing(keys: Keys, mangle: object) -> None:
    _, token = keys.create("ci")
    assert keys.check(mangle(token)) is None  # type: ignore[operator]


def test_the_secret_is_not_in_the_database(keys: Keys, database: Database) -> None:
    _, token = keys.create("ci")
    secret = token.rsplit("_", 1)[1]
    with database.transaction() as cursor:
        cursor.execute("select * from api_keys")
        row = cursor.fetchone()
    stored = bytes(row["secret_sha256"])
    assert len(stored) == 32
    assert secret not in str({**row, "secret_sha256": stored.hex()})
    assert stored != bytes.fromhex(secret).ljust(32)


def test_keys_are_listed_with_the_time_they_were_revoked(keys: Keys) -> None:
    first, _ = keys.create("first")
    second, _ = keys.create("second")
    keys.revoke(first)
    revoked_at = keys.list()[0]["revoked_at"]
    keys.revoke(first)
    rows = keys.list()
    assert [row["id"] for row in rows] == [first, second]
    assert rows[0]["revoked_at"] == revoked_at is not None
    assert rows[1]["revoked_at"] is None
    assert not any("secret" in name for row in rows for name in row)


def test_an_unknown_key_cannot_be_revoked(keys: Keys) -> None:
    with pytest.raises(NotFoundError):
        keys.revoke("000000000000")
