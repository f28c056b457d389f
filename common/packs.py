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
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from common.coco import COCO_CLASSES
from common.errors import ConfigurationError

MANIFEST: Final = "manifest.json"

#: A manifest is read whole; a larger file is none.
MAX_MANIFEST_BYTES: Final = 1 << 20

#: Protocol buffers, hence ONNX files, end here.
MAX_FILE_BYTES: Final = (1 << 31) - 1
MAX_FILES: Final = 16

Parsed = TypeVar("Parsed", bound=BaseModel)
Needed = TypeVar("Needed", "DetectionModel", "EmbeddingModel")

_MOST_PROBLEMS: Final = 8
_LONGEST_PROBLEM: Final = 300

#: The false match rate at which a pack's default `min_similarity` was measured.
DEFAULT_FMR: Final = 1e-3

_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, StringConstraints(pattern=_NAME)]
"""Name of a pack, a file or a model: no slash, no leading dot, hence no way out of the folder."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PlaneMean = Annotated[float, Field(ge=-1024, le=1024)]
PlaneStd = Annotated[float, Field(ge=1e-3, le=1024)]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Licence(_Document):
    """What the weights may be used for.

    Attributes:
        name: the licence in words, such as "Apache-2.0, and InsightFace's research licence for the embedder".
        spdx: SPDX expression, or None where none fits.
        commercial_use: whether the licence allows commercial use of every file.
        notice: what a person installing the pack must read.
    """

    name: Text
    spdx: Text | None = None
    commercial_use: bool
    notice: Text


class ImageInput(_Document):
    """How pictures enter a network: float32 planes, (value - mean) / std, value in 0..255.

    Attributes:
        side_px: side of the square input; of a detector whose graph leaves it open, the side it was made for.
        colour: order of the planes.
        mean, std: the same for every plane.
    """

    side_px: int = Field(ge=16, le=4096)
    colour: Literal["rgb", "bgr"] = "rgb"
    mean: float = Field(ge=-1024, le=1024)
    std: float = Field(ge=1e-3, le=1024)


class PictureInput(_Document):
    """How whole pictures enter a network of the picture pools: float32 planes, (value - mean) / std, value in 0..255.

    Attributes:
        side_px: side of the square input.
        colour: order of the planes.
        mean, std: of each plane, in that order.
        fit: `letterbox` keeps the picture's proportions and puts it into the middle; `stretch` does not.
        padding: what a letterbox is filled up with, of every plane, 0..255.
        resampling: how the picture is scaled.
    """

    side_px: int = Field(ge=16, le=4096)
    colour: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[PlaneMean, PlaneMean, PlaneMean]
    std: tuple[PlaneStd, PlaneStd, PlaneStd]
    fit: Literal["letterbox", "stretch"]
    padding: int = Field(default=114, ge=0, le=255)
    resampling: Literal["bilinear", "bicubic"] = "bilinear"


class _Entry(_Document):
    """What every entry of `files` has.

    Attributes:
        name: file name, without folder.
        sha256: hex digest of the file.
        bytes: its size.
        origin: where the file comes from, and its licence.
    """

    name: Name
    sha256: Sha256
    bytes: int = Field(ge=1, le=MAX_FILE_BYTES)
    origin: Text


class _File(_Entry):
    """What every network of faces has.

    Attributes:
        input: see `ImageInput`.
    """

    input: ImageInput


class DetectionModel(_File):
    """A face detector.

    Attributes:
        contract: layout of the outputs; see `workers.detect.scrfd` and `workers.detect.yunet`.
        min_det_score: lower bound of a face's score, inclusive.
        sure_det_score: score that the best face of a tracklet must have, inclusive; in a video a face between the two
            bounds counts only in the company of a better one, as in ByteTrack (Zhang et al., 2022). None:
            `min_det_score`.
        nms_iou: of two faces that overlap more than this, the better one is kept.
    """

    task: Literal["detection"]
    contract: Literal["scrfd", "yunet"]
    min_det_score: float = Field(ge=0, le=1)
    sure_det_score: float | None = Field(default=None, ge=0, le=1)
    nms_iou: float = Field(ge=0, le=1)

    @property
    def tracklet_det_score(self) -> float:
        """The score that the best face of a tracklet must have."""
        return self.min_det_score if self.sure_det_score is None else self.sure_det_score


class EmbeddingModel(_File):
    """A face embedder; its one output is (n, dim), not normalised.

    Attributes:
        contract: the crop it wants. `arcface` and `sface` are both 112 x 112 by ArcFace's five points and differ in
            what `input` says.
        dim: length of an embedding.
        model_id: names the embedding space. Embeddings of different ids are never compared, so whatever changes the
            embeddings (weights, input, crop) must change the id.
        min_similarity: false match rate to the cosine at which it was measured, such as {"1e-3": 0.39}; has 1e-3.
        min_similarity_origin: who measured it, on what.
        provisional: the figures stand in until somebody measures: they were published for another false match rate
            or with another detector. Such a pack wants `facepipe calibrate`.
    """

    task: Literal["embedding"]
    contract: Literal["arcface", "sface"]
    dim: int = Field(ge=1, le=4096)
    model_id: Name
    min_similarity: dict[str, Annotated[float, Field(ge=-1, le=1)]] = Field(max_length=16)
    min_similarity_origin: Text | None = None
    provisional: bool = False

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
        if self.provisional and self.min_similarity_origin is None:
            raise ValueError("min_similarity_origin: provisional figures must say where they come from")
        return self

    def min_similarity_at(self, fmr: float = DEFAULT_FMR) -> float:
        """The calibrated cosine for a false match rate.

        Raises:
            KeyError: the manifest does not state that rate.
        """
        return {float(rate): bound for rate, bound in self.min_similarity.items()}[fmr]


class AttributeModel(_File):
    """Guesses what a face looks like; optional.

    Attributes:
        contract: `genderage` is InsightFace's: the crop is a square about the centre of the box, 1.5 times its longer
            side, neither turned nor aligned, scaled to `input.side_px` (96); the one output is (n, 3): a logit for
            female, one for male, and the age in years divided by 100.
    """

    task: Literal["attributes"]
    contract: Literal["genderage"]


class LandmarkModel(_File):
    """Finds many points on a face; optional.

    Attributes:
        contract: both are InsightFace's and take the crop of `genderage`, at 192 px. `landmark_2d_106` gives
            (n, 212): 106 points (x, y). `landmark_3d_68` gives (n, 3309): 1103 points (x, y, z), of which the last 68
            count, and from which pose follows. -1 and 1 are the sides of the crop.
    """

    task: Literal["landmarks"]
    contract: Literal["landmark_2d_106", "landmark_3d_68"]


class SegmentationModel(_Entry):
    """Finds objects and their outlines; see `workers.segment.heads` for the outputs.

    Attributes:
        contract: layout of the outputs.
        input: see `PictureInput`.
        classes: name of each class, in the order of the scores; without the background. At most 125: more colours are
            not told apart in the picture of masks.
        nms_iou: of two objects of one class that overlap more than this, the better one is kept.
    """

    task: Literal["segmentation"]
    contract: Literal["yolo_seg", "yolact"]
    input: PictureInput
    classes: tuple[ClassName, ...] = Field(default=COCO_CLASSES, min_length=1, max_length=125)
    nms_iou: float = Field(default=0.45, ge=0, le=1)


class CaptioningModel(_Entry):
    """The encoder of a captioner: a picture in, features (n, places, width) out.

    Attributes:
        contract: the decoder is an entry of task `caption_decoder`, the words one of task `vocabulary`.
        input: see `PictureInput`.
        beams: sentences followed side by side; 1 takes the likeliest next token and no other.
        min_tokens, max_tokens: length of a caption, without begin and end.
    """

    task: Literal["captioning"]
    contract: Literal["encoder_decoder"]
    input: PictureInput
    beams: int = Field(default=3, ge=1, le=16)
    min_tokens: int = Field(default=5, ge=0, le=64)
    max_tokens: int = Field(default=20, ge=1, le=64)

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.min_tokens > self.max_tokens:
            raise ValueError("min_tokens: must not be above max_tokens")
        return self


class CaptionDecoderModel(_Entry):
    """The decoder of a captioner.

    Attributes:
        contract: tokens (n, length) int64 and features (n, places, width) float32 in, told apart by their axes;
            logits of the next token (n, length, tokens), or of the last place alone (n, tokens), out.
    """

    task: Literal["caption_decoder"]
    contract: Literal["tokens_features"]


class VocabularyFile(_Entry):
    """The words of a captioner; see `common.vocabulary`."""

    task: Literal["vocabulary"]
    contract: Literal["json"]


FaceFile = DetectionModel | EmbeddingModel | AttributeModel | LandmarkModel
PictureFile = SegmentationModel | CaptioningModel | CaptionDecoderModel | VocabularyFile
ModelFile = FaceFile | PictureFile

PictureTask = Literal["captioning", "segmentation"]
_CAPTIONER: Final = frozenset({"captioning", "caption_decoder", "vocabulary"})


class Manifest(_Document):
    """A whole `manifest.json`.

    Attributes:
        format: version of this format.
        name: name of the pack and of its folder.
        version: version of the pack, free text.
        description: one sentence.
        licence: see `Licence`.
        files: of a pack for faces one embedder and at least one detector; the first detector is the one in use, the
            others are there for comparison. Further, at most one file of each contract for attributes and landmarks.
            A pack for pictures has a segmenter, or a captioner with its decoder and vocabulary, or both.
    """

    format: Literal[1]
    name: Name
    version: Text
    description: Text
    licence: Licence
    files: tuple[Annotated[ModelFile, Field(discriminator="task")], ...] = Field(max_length=MAX_FILES)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError("files: two entries have the same name")
        pictures = [file.task for file in self.files if isinstance(file, PictureFile)]
        has_only_pictures = bool(pictures) and len(pictures) == len(self.files)
        if not has_only_pictures and (not self.detectors or len(self.embedders) != 1):
            raise ValueError(
                "files: a pack needs at least one detection file and exactly one embedding file"
                + (", or else networks for pictures alone" if pictures else "")
            )
        if len(set(pictures)) < len(pictures):
            raise ValueError("files: of segmentation, captioning, caption_decoder and vocabulary one file each at most")
        if 0 < len(set(pictures) & _CAPTIONER) < len(_CAPTIONER):
            raise ValueError("files: a captioner needs a captioning, a caption_decoder and a vocabulary file")
        optional = [file.contract for file in self.files if isinstance(file, AttributeModel | LandmarkModel)]
        if len(set(optional)) < len(optional):
            raise ValueError("files: attributes and landmarks allow one file of each contract")
        return self

    @property
    def detectors(self) -> tuple[DetectionModel, ...]:
        """Every detector, the one in use first."""
        return tuple(file for file in self.files if isinstance(file, DetectionModel))

    @property
    def embedders(self) -> tuple[EmbeddingModel, ...]:
        """The embedder, as a tuple of one."""
        return tuple(file for file in self.files if isinstance(file, EmbeddingModel))

    @property
    def attributes(self) -> AttributeModel | None:
        """What guesses age and gender, if the pack has it."""
        return next((file for file in self.files if isinstance(file, AttributeModel)), None)

    @property
    def landmarks(self) -> tuple[LandmarkModel, ...]:
        """What finds many landmarks, one a contract; may be empty."""
        return tuple(file for file in self.files if isinstance(file, LandmarkModel))

    @property
    def segmenter(self) -> SegmentationModel | None:
        """What finds objects, if the pack has it."""
        return next((file for file in self.files if isinstance(file, SegmentationModel)), None)

    @property
    def captioner(self) -> tuple[CaptioningModel, CaptionDecoderModel, VocabularyFile] | None:
        """Encoder, decoder and words of what captions pictures, if the pack has it."""
        encoder = next((file for file in self.files if isinstance(file, CaptioningModel)), None)
        decoder = next((file for file in self.files if isinstance(file, CaptionDecoderModel)), None)
        words = next((file for file in self.files if isinstance(file, VocabularyFile)), None)
        return None if encoder is None or decoder is None or words is None else (encoder, decoder, words)

    def has(self, task: PictureTask) -> bool:
        """Whether the pack does this."""
        return (self.segmenter if task == "segmentation" else self.captioner) is not None

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)


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
        """The detector in use. Raises ConfigurationError where the pack is not for faces."""
        return self._of_faces(self.manifest.detectors)

    @property
    def embedder(self) -> EmbeddingModel:
        """The embedder. Raises ConfigurationError where the pack is not for faces."""
        return self._of_faces(self.manifest.embedders)

    @property
    def attributes(self) -> AttributeModel | None:
        """What guesses age and gender, if the pack has it."""
        return self.manifest.attributes

    @property
    def landmarks(self) -> tuple[LandmarkModel, ...]:
        """What finds many landmarks, one a contract; may be empty."""
        return self.manifest.landmarks

    @property
    def model_id(self) -> str:
        """Id of the embedding space."""
        return self.embedder.model_id

    def _of_faces(self, files: Sequence[Needed]) -> Needed:
        if not files:
            raise ConfigurationError(
                f"pack {self.name!r} has networks for pictures alone, none that detects and embeds faces;"
                " set FACEPIPE_MODEL_PACK to another pack"
            )
        return files[0]

    def path(self, file: ModelFile) -> Path:
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
        ConfigurationError: unreadable, too large, not JSON, or not as the classes above say; names the file and the
            fields.
    """
    return parse_document(Manifest, path, "manifest")


def parse_document(kind: type[Parsed], path: Path, noun: str, *, max_bytes: int = MAX_MANIFEST_BYTES) -> Parsed:
    """Read a small JSON file whose fields `kind` lists.

    Raises:
        ConfigurationError: see `load_manifest`; `noun` is what the file should have been.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ConfigurationError(f"{path} cannot be read: it is not a file")
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ConfigurationError(f"{path} is not a valid {noun}: it has more than {max_bytes} bytes")
        return kind.model_validate_json(data)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'document'}: {problem['msg']}"[:_LONGEST_PROBLEM]
            for problem in error.errors(include_url=False, include_input=False)
        ]
        more = [f"and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        listed = "; ".join(problems[:_MOST_PROBLEMS] + more)
        raise ConfigurationError(f"{path} is not a valid {noun}: {listed}") from error


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


def find_picture_pack(name: str, task: PictureTask, folders: Sequence[Path]) -> Pack | None:
    """The pack in use for captions or for segmentation.

    Args:
        name: the pack; empty: the first installed one by name that has the task.

    Returns:
        None where no name is given and no installed pack has the task; a broken pack is none.
    Raises:
        ConfigurationError: the pack named is missing, broken, or does not have the task.
    """
    if name:
        pack = find_pack(name, folders)
        if not pack.manifest.has(task):
            raise ConfigurationError(f"pack {name!r} has no files of task {task}")
        return pack
    for each in sorted(installed_packs(folders)):
        try:
            pack = find_pack(each, folders)
        except ConfigurationError:
            continue
        if pack.manifest.has(task):
            return pack
    return None


def verify(pack: Pack) -> None:
    """Compare size and SHA-256 of every file with the manifest.

    Raises:
        ConfigurationError: a file is missing or differs; names it and says how.
    """
    for file in pack.manifest.files:
        verify_file(pack.path(file), file)


def verify_file(path: Path, file: ModelFile) -> None:
    """Compare size and SHA-256 of one file with its entry in the manifest.

    Raises:
        ConfigurationError: it differs; names it and says how.
    """
    size = path.stat().st_size
    if size != file.bytes:
        raise ConfigurationError(f"{path} has {size} bytes, the manifest says {file.bytes}; install the pack again")
    digest = sha256_of(path)
    if digest != file.sha256:
        raise ConfigurationError(
            f"{path} has SHA-256 {digest}, the manifest says {file.sha256}; install the pack again"
        )


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _manifests(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.glob(f"*/{MANIFEST}") if re.fullmatch(_NAME, path.parent.name))


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in dict.fromkeys(folders)) or "no folder"
