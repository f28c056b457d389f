"""The packs that can be installed by name: a manifest, and where the files it lists are published.

One JSON file a pack, in `models/catalogue`. Every download has its SHA-256, and every file in it has one too, so it
does not matter who serves them.
"""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from common.errors import ConfigurationError
from common.packs import MAX_FILE_BYTES, Manifest, Sha256, Text, parse_document

CATALOGUE: Final = Path(__file__).parents[2] / "models" / "catalogue"

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+/\S*[^\s/]$", max_length=2000)]


class Download(BaseModel):
    """One file to fetch.

    Attributes:
        urls: where it is, in the order in which they are tried.
        bytes: its size.
        sha256: hex digest.
        sha256_origin: who published that digest.
        unpack: whether it is a zip archive with files of the manifest, rather than one of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: tuple[Url, ...] = Field(min_length=1, max_length=8)
    bytes: int = Field(ge=1, le=MAX_FILE_BYTES)
    sha256: Sha256
    sha256_origin: Text
    unpack: bool = False

    @property
    def name(self) -> str:
        """File name that the first address ends in."""
        return self.urls[0].rpartition("/")[2]


class Entry(BaseModel):
    """A pack of the catalogue.

    Attributes:
        manifest: what its `manifest.json` will say.
        downloads: everything that must be fetched for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Manifest
    downloads: tuple[Download, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        files = {file.name: file for file in self.manifest.files}
        plain = {download.name: download for download in self.downloads if not download.unpack}
        for name, download in plain.items():
            if name not in files or (files[name].sha256, files[name].bytes) != (download.sha256, download.bytes):
                raise ValueError(f"downloads: {name} is not the file of that name in the manifest")
        if files.keys() - plain.keys() and not any(download.unpack for download in self.downloads):
            raise ValueError("downloads: not every file of the manifest is fetched")
        return self


def load_catalogue(folder: Path = CATALOGUE) -> dict[str, Entry]:
    """Name to entry, of every file in the folder.

    Raises:
        ConfigurationError: an entry is broken, or not in the file of its name.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder, hence no catalogue of packs")
    entries = {}
    for path in sorted(folder.glob("*.json")):
        entry = parse_document(Entry, path, "entry of the catalogue")
        if entry.manifest.name != path.stem:
            raise ConfigurationError(f"{path} describes the pack {entry.manifest.name!r}; rename it to that")
        entries[entry.manifest.name] = entry
    return entries
