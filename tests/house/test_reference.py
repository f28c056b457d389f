"""The generated pages agree with the code."""

from pathlib import Path

from common.errors import CODES
from common.settings import Settings
from deploy import reference


def test_no_page_is_stale() -> None:
    assert reference.stale() == [], "run `make docs`"


def test_a_changed_or_missing_page_is_stale(tmp_path: Path) -> None:
    pages = list(reference.pages())
    assert reference.stale(tmp_path) == pages
    for path, text in reference.pages().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert reference.stale(tmp_path) == []
    (tmp_path / pages[0]).write_text("something else")
    assert reference.stale(tmp_path) == [pages[0]]


def test_every_setting_has_a_row_with_a_meaning() -> None:
    entries = [entry for group in reference.groups().values() for entry in group]
    assert all(entry.description for entry in entries)
    rows = reference.pages()[Path("docs/reference/settings.md")]
    leaves = len(Settings.model_fields)
    for name in Settings.model_fields:
        group = getattr(Settings(), name)
        if hasattr(type(group), "model_fields"):
            leaves += len(type(group).model_fields) - 1
    assert len(entries) == leaves == rows.count("| `FACEPIPE_")


def test_every_documented_default_is_accepted_as_it_is_written(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for group in reference.groups().values():
        for entry in group:
            monkeypatch.setenv(entry.variable, entry.default)
    assert Settings() == Settings.model_validate({})


def test_every_error_code_has_a_row() -> None:
    page = reference.pages()[Path("docs/reference/errors.md")]
    assert [code for code in CODES if f"| `{code}` |" not in page] == []
