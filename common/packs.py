"""Model packs: a folder with a `manifest.json` that says what each network expects, gives, and may be used for.

The manifest is JSON; a field that is not listed in the classes below is an error, so that a typo is never ignored. The
weights lie beside the manifest, or in another of the search folders: a manifest may thus be published where its weights
may not. Nothing here loads a network, so the API can read packs too.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from common.errors import ConfigurationError

MANIFEST: Final = "manifest.json"

#: The false match rate at which a pack's default `min_similarity` was measured.
DEFAULT_FMR: Final = 1e-3

_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, StringConstraints(pattern=_NAME)]
"""Name of a pack, a file or a model: no slash, no leading dot, hence no way out of the folder."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Licence(_Document):
    """What the weights may be used for.

    Attributes:
        name: the licence in words, such as "Apache-2.0, and InsightFace's research licence for the embedder".
        spdx: SPDX expression, or None where none fits.
        commercial_use: whether the licence allows commercial use of every file.
        notice: what a person installing the pack must read.
    """

    name: str = Field(min_length=1)
    spdx: str | None = None
    commercial_use: bool
    notice: str = Field(min_length=1)


class ImageInput(_Document):
    """How pictures enter a network: float32 planes, (value - mean) / std, value in 0..255.

    Attributes:
        side_px: side of the square input; of a detector whose graph leaves it open, the side it was made for.
        colour: order of the planes.
        mean, std: the same for every plane.
    """

    side_px: int = Field(ge=16, le=4096)
    colour: Literal["rgb", "bgr"] = "rgb"
    mean: float
    std: float = Field(gt=0)


class _File(_Document):
    """What every entry of `files` has.

    Attributes:
        name: file name, without folder.
        sha256: hex digest of the file.
        bytes: its size.
        origin: where the weights come from, and their licence.
        input: see `ImageInput`.
    """

    name: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)
    origin: str = Field(min_length=1)
    input: ImageInput


class DetectionModel(_File):
    """A face detector.

    Attributes:
        contract: layout of the outputs; see `workers.detect.scrfd` and `workers.detect.yunet`.
        min_det_score: lower bound of a face's score, inclusive.
        nms_iou: of two faces that overlap more than this, the better one is kept.
    """

    task: Literal["detection"]
    contract: Literal["scrfd", "yunet"]
    min_det_score: float = Field(ge=0, le=1)
    nms_iou: float = Field(ge=0, le=1)


class EmbeddingModel(_File):
    """A face embedder; its one output is (n, dim), not normalised.

    Attributes:
        contract: the crop it wants. `arcface` and `sface` are both 112 x 112 by ArcFace's five points and differ in
            what `input` says.
        dim: length of an embedding.
        model_id: names the embedding space. Embeddings of different ids are never compared, so whatever changes the
            embeddings (weights, input, crop) must change the id.
        min_similarity: false match rate to the cosine at which it was measured, such as {"1e-3": 0.39}; has 1e-3.
    """

    task: Literal["embedding"]
    contract: Literal["arcface", "sface"]
    dim: int = Field(ge=1, le=4096)
    model_id: Name
    min_similarity: dict[str, Annotated[float, Field(ge=-1, le=1)]]

    @model_validator(mode="after")
    def _is_calibrated(self) -> Self:
        try:
            rates = {float(rate): bound for rate, bound in self.min_similarity.items()}
        except ValueError as error:
            raise ValueError("min_similarity: every key must be a false match rate such as 1e-3") from error
        if not all(0 < rate < 1 for rate in rates) or DEFAULT_FMR not in rates:
            raise ValueError("min_similarity: rates must lie between 0 and 1, and 1e-3 must be among them")
        bounds = [rates[rate] for rate in sorted(rates)]
        if bounds != sorted(bounds, reverse=True):
            raise ValueError("min_similarity: a smaller false match rate needs a larger similarity")
        return self

    def min_similarity_at(self, fmr: float = DEFAULT_FMR) -> float:
        """The calibrated cosine for a false match rate.

        Raises:
            KeyError: the manifest does not state that rate.
        """
        return {float(rate): bound for rate, bound in self.min_similarity.items()}[fmr]


class Manifest(_Document):
    """A whole `manifest.json`.

    Attributes:
        format: version of this format.
        name: name of the pack and of its folder.
        version: version of the pack, free text.
        description: one sentence.
        licence: see `Licence`.
        files: one embedder and at least one detector; the first detector is the one in use, the others are there for
            comparison.
    """

    format: Literal[1]
    name: Name
    version: str = Field(min_length=1)
    description: str = Field(min_length=1)
    licence: Licence
    files: tuple[Annotated[DetectionModel | EmbeddingModel, Field(discriminator="task")], ...]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError("files: two entries have the same name")
        if not self.detectors or len(self.embedders) != 1:
            raise ValueError("files: a pack needs at least one detection file and exactly one embedding file")
        return self

    @property
    def detectors(self) -> tuple[DetectionModel, ...]:
        """Every detector, the one in use first."""
        return tuple(file for file in self.files if isinstance(file, DetectionModel))

    @property
    def embedders(self) -> tuple[EmbeddingModel, ...]:
        """The embedder, as a tuple of one."""
        return tuple(file for file in self.files if isinstance(file, EmbeddingModel))


@dataclass(frozen=True, slots=True)
class Pack:
    """An installed pack: its manifest, and where its files may lie.

    Attributes:
        manifest: what it says.
        directory: the folder of the manifest.
        folders: the search folders, for weights that do not lie beside the manifest.
    """

    manifest: Manifest
    directory: Path
    folders: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Name of the pack."""
        return self.manifest.name

    @property
    def detector(self) -> DetectionModel:
        """The detector in use."""
        return self.manifest.detectors[0]

    @property
    def embedder(self) -> EmbeddingModel:
        """The embedder."""
        return self.manifest.embedders[0]

    @property
    def model_id(self) -> str:
        """Id of the embedding space."""
        return self.embedder.model_id

    def path(self, file: DetectionModel | EmbeddingModel) -> Path:
        """Where a file of this pack lies: beside the manifest, else in `<folder>/`, else in `<folder>/<pack>/`.

        Raises:
            ConfigurationError: in none of them.
        """
        places = [self.directory, *(place for folder in self.folders for place in (folder, folder / self.name))]
        for place in places:
            if (place / file.name).is_file():
                return place / file.name
        raise ConfigurationError(
            f"pack {self.name!r}: {file.name} was not found in {_listed(places)}; "
            "put it there, or name its folder in FACEPIPE_MODELS_PATH"
        )


def load_manifest(path: Path) -> Manifest:
    """Read and check a `manifest.json`.

    Raises:
        ConfigurationError: unreadable, not JSON, or not as the classes above say; names the file and the fields.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'document'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigurationError(f"{path} is not a valid manifest: {problems}") from error


def installed_packs(folders: Sequence[Path]) -> dict[str, Path]:
    """Name of every installed pack to the path of its manifest; of two with one name the earlier folder's."""
    found: dict[str, Path] = {}
    for manifest in _manifests(folders):
        found.setdefault(manifest.parent.name, manifest)
    return found


def find_pack(name: str, folders: Sequence[Path]) -> Pack:
    """The pack `name` of the first folder that has it.

    Raises:
        ConfigurationError: a bad name, no such pack, a broken manifest, or one that calls itself otherwise.
    """
    if not re.fullmatch(_NAME, name):
        raise ConfigurationError(f"{name!r} is not a pack name: letters, digits, '.', '_' and '-' only")
    installed = installed_packs(folders)
    if name not in installed:
        others = ", ".join(sorted(installed)) or "none"
        raise ConfigurationError(
            f"pack {name!r} was not found in {_listed(folders)}; installed are: {others}. "
            f"Install it with `facepipe models install {name}` or set FACEPIPE_MODEL_PACK"
        )
    path = installed[name]
    manifest = load_manifest(path)
    if manifest.name != name:
        raise ConfigurationError(f"{path} calls itself {manifest.name!r}; rename its folder to that")
    return Pack(manifest, path.parent, tuple(folders))


def verify(pack: Pack) -> None:
    """Compare size and SHA-256 of every file with the manifest.

    Raises:
        ConfigurationError: a file is missing or differs; names it and says how.
    """
    for file in pack.manifest.files:
        path = pack.path(file)
        size = path.stat().st_size
        if size != file.bytes:
            raise ConfigurationError(f"{path} has {size} bytes, the manifest says {file.bytes}; install the pack again")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != file.sha256:
            raise ConfigurationError(
                f"{path} has SHA-256 {digest}, the manifest says {file.sha256}; install the pack again"
            )


def _manifests(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.glob(f"*/{MANIFEST}") if re.fullmatch(_NAME, path.parent.name))


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in dict.fromkeys(folders)) or "no folder"
