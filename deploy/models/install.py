"""Bringing a pack into `<FACEPIPE_HOME>/models`: by name, or from a folder that somebody carried here."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from common.errors import ConfigurationError
from common.packs import (
    MANIFEST,
    Manifest,
    ModelFile,
    Pack,
    find_pack,
    installed_packs,
    load_manifest,
    sha256_of,
    verify,
    verify_file,
)
from deploy.models.archive import unpack
from deploy.models.catalogue import Download, Entry
from deploy.models.download import Watch, fetch
from deploy.models.placing import copy_checked, place, staging
from deploy.models.trial import examine

#: Opens a bar under a label; gives the function that moves it.
Bars = Callable[[str], AbstractContextManager[Watch]]

_ROOM: Final = 64 << 20

Keep = Callable[[IO[bytes], ModelFile], None]
"""Checks and stores one file."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A pack that could be installed.

    Attributes:
        manifest: what it says of itself.
        text: the bytes of its `manifest.json`.
        source: hands every file to the function it is given.
        fetches: bytes that must come over the network, before anything else.
    """

    manifest: Manifest
    text: bytes
    source: Callable[[Keep], None]
    fetches: int = 0


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where packs are installed, and what is known about packs.

    Attributes:
        folder: where packs are installed.
        search: every folder that the server looks for packs in, `folder` among them.
        catalogue: packs that can be installed by name.
    """

    folder: Path
    search: tuple[Path, ...]
    catalogue: Mapping[str, Entry]

    @property
    def downloads(self) -> Path:
        """Where what comes over the network waits."""
        return self.folder / ".downloads"

    def manifests(self) -> dict[str, Manifest]:
        """Every pack that is known by name, with weights or without."""
        known = {name: load_manifest(path) for name, path in installed_packs(self.search).items()}
        return {name: entry.manifest for name, entry in self.catalogue.items()} | known

    def find_complete(self, name: str) -> Pack | None:
        """The pack of that name, if it is found with every file as its manifest says."""
        try:
            pack = find_pack(name, self.search)
            verify(pack)
        except ConfigurationError:
            return None
        return pack


def offer_by_name(shelf: Shelf, name: str, bars: Bars) -> Offer:
    """What the catalogue has under a name; nothing is fetched yet.

    Raises:
        ConfigurationError: the catalogue does not have it.
    """
    if name not in shelf.catalogue:
        raise ConfigurationError(
            f"no pack {name!r} can be installed by name; there are {', '.join(sorted(shelf.catalogue))}. "
            "Any other comes from a folder with its manifest.json: facepipe models install --from FOLDER"
        )
    entry = shelf.catalogue[name]

    def hand_over(keep: Keep) -> None:
        paths = {}
        for download in entry.downloads:
            with bars(download.name) as watch:
                paths[download] = fetch(download, shelf.downloads, watch=watch)
        _hand_over_downloads(entry.manifest, paths, keep)
        for path in paths.values():
            path.unlink(missing_ok=True)

    return Offer(entry.manifest, _text(entry.manifest), hand_over, sum(each.bytes for each in entry.downloads))


def offer_from(shelf: Shelf, source: Path, name: str | None) -> Offer:
    """What a folder holds: a pack with its manifest, or the files of a pack that is known.

    A manifest's weights may also lie in another search folder. Without a manifest, the folder may hold the archives
    that the catalogue would fetch, or weights under any name; their SHA-256 tells which pack they are.

    Args:
        shelf: what is known.
        source: the folder, or one archive.
        name: the pack it must be; None: any.

    Raises:
        ConfigurationError: it holds no such pack; says what is missing.
    """
    if not source.exists():
        raise ConfigurationError(f"{source} does not exist")
    if source.is_dir() and (source / MANIFEST).exists():
        return _offer_of_manifest(shelf, source, name)
    files = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]
    known = shelf.manifests()
    wanted = {name: known[name]} if name in known else {} if name else known
    if not wanted:
        raise ConfigurationError(f"no pack {name!r} is known, and {source} has no {MANIFEST} that describes one")
    digests = _Digests(files)
    fits = [*_offers_of_archives(shelf, wanted, digests), *_offers_of_weights(wanted, digests)]
    if not fits:
        raise ConfigurationError(_what_is_missing(shelf, source, wanted, digests))
    most = max(len(offer.manifest.files) for offer in fits)
    names = sorted({offer.manifest.name for offer in fits if len(offer.manifest.files) == most})
    if len(names) > 1:
        raise ConfigurationError(f"{source} holds the packs {' and '.join(names)}: name the one to install")
    return next(offer for offer in fits if offer.manifest.name == names[0])


def install(shelf: Shelf, offer: Offer, bars: Bars, say: Callable[[str], None]) -> Path:
    """Bring the files in, try each of them, and only then let the pack take its place.

    Returns:
        The folder of the pack.

    Raises:
        ConfigurationError: a file is missing, not as the manifest says or no network that does what it should, or
            there is no room. The pack that was there is untouched.
        TransientError: a file could not be fetched; what came of it is kept for the next time.
    """
    manifest = offer.manifest
    with staging(shelf.folder, manifest.name) as folder:
        _check_room(shelf.folder, manifest, offer.fetches)

        def keep(stream: IO[bytes], file: ModelFile) -> None:
            with bars(file.name) as watch:
                copy_checked(stream, folder / file.name, file, copied=_Sum(file.bytes, watch))

        offer.source(keep)
        missing = [file.name for file in manifest.files if not (folder / file.name).is_file()]
        if missing:
            raise ConfigurationError(f"{', '.join(missing)} did not come")
        (folder / MANIFEST).write_bytes(offer.text)
        say(f"trying {', '.join(file.name for file in manifest.files)}")
        try:
            examine([(folder / file.name, file) for file in manifest.files])
        except ConfigurationError as error:
            raise ConfigurationError(error.message.replace(f"{folder.resolve()}/", "")) from None
        target = shelf.folder / manifest.name
        place(folder, target)
    return target


def by_hand(entry: Entry, problem: str) -> str:
    """What to do where the network is not to be had."""
    lines = [f"{entry.manifest.name} could not be fetched; nothing was changed.", f"  {problem}", ""]
    lines += ["Fetch on a machine that can:"]
    for download in entry.downloads:
        lines += [*(f"  {'or ' if index else ''}{url}" for index, url in enumerate(download.urls))]
        lines += [f"    {download.bytes} bytes, SHA-256 {download.sha256}"]
    lines += ["Bring it here in a folder, and run:", f"  facepipe models install {entry.manifest.name} --from FOLDER"]
    return "\n".join(lines)


class _Sum:
    """Adds up what was copied, for a bar."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._done = 0
        self._total = total
        self._watch = watch

    def __call__(self, count: int) -> None:
        self._done += count
        self._watch(self._done, self._total)


class _Digests:
    """SHA-256 of files, computed only of those whose size is one that is looked for."""

    def __init__(self, paths: list[Path]) -> None:
        self._by_size: dict[int, list[Path]] = {}
        for path in paths:
            self._by_size.setdefault(path.stat().st_size, []).append(path)
        self._known: dict[Path, str] = {}

    def find(self, size: int, sha256: str) -> Path | None:
        """The file with that content."""
        return next((path for path in self._by_size.get(size, []) if self._digest(path) == sha256), None)

    def _digest(self, path: Path) -> str:
        if path not in self._known:
            self._known[path] = sha256_of(path)
        return self._known[path]


def _offer_of_manifest(shelf: Shelf, source: Path, name: str | None) -> Offer:
    manifest = load_manifest(source / MANIFEST)
    if name is not None and manifest.name != name:
        raise ConfigurationError(f"{source / MANIFEST} describes the pack {manifest.name!r}, not {name!r}")
    paths = {file.name: _find_weights(shelf, source, manifest, file) for file in manifest.files}
    return Offer(manifest, (source / MANIFEST).read_bytes(), partial(_hand_over_files, manifest, paths))


def _find_weights(shelf: Shelf, source: Path, manifest: Manifest, file: ModelFile) -> Path:
    """Beside the manifest; else where the server would look, if that is the right file."""
    if (source / file.name).is_file():
        return source / file.name
    try:
        path = Pack(manifest, source, shelf.search).path(file)
        verify_file(path, file)
    except ConfigurationError:
        raise ConfigurationError(
            f"{file.name} ({file.bytes} bytes, SHA-256 {file.sha256}) is neither in {source} nor where the server looks"
        ) from None
    return path


def _offers_of_archives(shelf: Shelf, wanted: Mapping[str, Manifest], digests: _Digests) -> Iterator[Offer]:
    for name in wanted.keys() & shelf.catalogue.keys():
        entry = shelf.catalogue[name]
        found = {each: digests.find(each.bytes, each.sha256) for each in entry.downloads}
        paths = {download: path for download, path in found.items() if path is not None}
        if len(paths) == len(found):
            yield Offer(entry.manifest, _text(entry.manifest), partial(_hand_over_downloads, entry.manifest, paths))


def _offers_of_weights(wanted: Mapping[str, Manifest], digests: _Digests) -> Iterator[Offer]:
    for manifest in wanted.values():
        found = {file.name: digests.find(file.bytes, file.sha256) for file in manifest.files}
        paths = {name: path for name, path in found.items() if path is not None}
        if len(paths) == len(found):
            yield Offer(manifest, _text(manifest), partial(_hand_over_files, manifest, paths))


def _hand_over_files(manifest: Manifest, paths: Mapping[str, Path], keep: Keep) -> None:
    for file in manifest.files:
        with paths[file.name].open("rb") as stream:
            keep(stream, file)


def _hand_over_downloads(manifest: Manifest, paths: Mapping[Download, Path], keep: Keep) -> None:
    plain = {download.name: path for download, path in paths.items() if not download.unpack}
    for file in manifest.files:
        if file.name in plain:
            with plain[file.name].open("rb") as stream:
                keep(stream, file)
    packed = tuple(file for file in manifest.files if file.name not in plain)
    for download, path in paths.items():
        if download.unpack:
            unpack(path, packed, keep)


def _what_is_missing(shelf: Shelf, source: Path, wanted: Mapping[str, Manifest], digests: _Digests) -> str:
    if len(wanted) > 1:
        return (
            f"{source} has no {MANIFEST}, and its files are not those of a pack that is known "
            f"({', '.join(sorted(wanted))}); their SHA-256 would say so"
        )
    ((name, manifest),) = wanted.items()
    lines = [f"{source} does not hold the pack {name!r}. Needed are its files"]
    lines += [
        f"  {file.name}, {file.bytes} bytes, SHA-256 {file.sha256}"
        for file in manifest.files
        if digests.find(file.bytes, file.sha256) is None
    ]
    if name in shelf.catalogue:
        lines += ["or what they come in"]
        lines += [
            f"  {each.name}, {each.bytes} bytes, SHA-256 {each.sha256}" for each in shelf.catalogue[name].downloads
        ]
    return "\n".join(lines)


def _check_room(folder: Path, manifest: Manifest, fetches: int) -> None:
    needed = manifest.bytes + fetches + _ROOM
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigurationError(
            f"{manifest.name} needs {needed >> 20} MiB in {folder}, and {free >> 20} MiB are free: make room, or "
            "choose another FACEPIPE_HOME"
        )


def _text(manifest: Manifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode() + b"\n"
