"""Our generic top-level names must never collide with what is installed."""

import importlib.metadata
import sys

from tests.conftest import ROOT

TOP_LEVEL = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def test_every_top_level_folder_with_code_is_a_package() -> None:
    folders = {path.relative_to(ROOT).parts[0] for pattern in ("*/*.py", "*/*/*.py") for path in ROOT.glob(pattern)}
    assert sorted(folder for folder in folders if not folder.startswith(".")) == TOP_LEVEL


def test_no_installed_distribution_has_one_of_our_top_level_names() -> None:
    installed = importlib.metadata.packages_distributions()
    strangers = {name: owners for name in TOP_LEVEL if (owners := set(installed.get(name, [])) - {"facepipe"})}
    assert strangers == {}


def test_nothing_but_the_client_is_installed_from_here() -> None:
    try:
        files = importlib.metadata.files("facepipe") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    top_level = {file.parts[0] for file in files if file.suffix in {".py", ".pth"}}
    assert top_level <= {"facepipe"}


def test_no_top_level_name_is_a_module_of_the_standard_library() -> None:
    assert set(TOP_LEVEL) & sys.stdlib_module_names == set()
