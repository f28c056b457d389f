"""Taking named files out of a zip archive, and nothing else."""

import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Final

from common.errors import ConfigurationError
from common.packs import ModelFile

MAX_MEMBERS: Final = 1000

Keep = Callable[[IO[bytes], ModelFile], None]


def unpack(path: Path, files: tuple[ModelFile, ...], keep: Keep) -> None:
    """Hand each file of the manifest that the archive holds to `keep`, which checks and stores what it reads.

    A member is found by its last name, in whatever folder it lies: its path is never used.

    Raises:
        ConfigurationError: no zip archive, or a member is missing, there twice, a link, encrypted, oddly packed or of
            another size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise ConfigurationError(f"{path} holds more than {MAX_MEMBERS} files")
            for file in files:
                member = _find(members, file, path)
                with archive.open(member) as stream:
                    keep(stream, file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ConfigurationError(f"{path} is not a zip archive that can be read: {error}") from error


def _find(members: list[zipfile.ZipInfo], file: ModelFile, path: Path) -> zipfile.ZipInfo:
    found = [each for each in members if PurePosixPath(each.filename).name == file.name and not each.is_dir()]
    if len(found) != 1:
        raise ConfigurationError(f"{path} holds {len(found)} files {file.name}, not one")
    (member,) = found
    if stat.S_ISLNK(member.external_attr >> 16):
        raise ConfigurationError(f"{path}: {member.filename} is a link")
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ConfigurationError(f"{path}: {member.filename} is encrypted, or packed in a way that is not supported")
    if member.file_size != file.bytes:
        raise ConfigurationError(f"{path}: {file.name} has {member.file_size} bytes, the manifest says {file.bytes}")
    return member
