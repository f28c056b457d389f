"""Does a graph fit what the manifest says of it? Pure: an outline and an entry in, a sentence out where they differ."""

from collections.abc import Sequence
from typing import Final

from common.errors import ConfigurationError
from common.packs import DetectionModel, EmbeddingModel, ModelFile, PictureFile
from deploy.models.outline import Outline, Port, Shape

#: Strides of SCRFD by the number of outputs; 9 and 15 have landmarks.
SCRFD_STRIDES: Final = {6: (8, 16, 32), 9: (8, 16, 32), 10: (8, 16, 32, 64, 128), 15: (8, 16, 32, 64, 128)}
YUNET_STRIDES: Final = (8, 16, 32)
_YUNET_WIDTHS: Final = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
_WIDTHS: Final = {"genderage": 3, "landmark_2d_106": 212, "landmark_3d_68": 3309}


def check_outline(outline: Outline, file: ModelFile) -> None:
    """Compare what the graph declares with the manifest.

    Raises:
        ConfigurationError: they disagree; says how.
    """
    _check_input(outline, file)
    if len({port.name for port in outline.outputs}) < len(outline.outputs):
        raise ConfigurationError("two outputs have the same name")
    for port, width in zip(outline.outputs, output_widths(outline, file), strict=True):
        if port.shape and port.shape[-1] not in (None, width):
            raise ConfigurationError(
                f"the output {port.name!r} has the shape {shown(port.shape)}; its last axis must be {width}"
            )


def check_shapes(outline: Outline, file: ModelFile, shapes: Sequence[Shape], *, count: int) -> None:
    """Compare the shapes that a run of `count` pictures gave with the contract.

    Raises:
        ConfigurationError: they disagree; says how.
    """
    locations = _locations(len(shapes), file)
    for index, (port, width, shape) in enumerate(
        zip(outline.outputs, output_widths(outline, file), shapes, strict=True)
    ):
        wanted: Shape
        if not isinstance(file, DetectionModel):
            wanted = (count, width)
        else:
            rows = locations[index % len(locations)] * _anchors(len(shapes), file)
            wanted = (count, rows, width) if len(shape) == 3 or count > 1 else (rows, width)
        if shape != wanted:
            raise ConfigurationError(f"the output {port.name!r} came out as {shown(shape)}, not as {shown(wanted)}")


def is_batch_open(outline: Outline, file: ModelFile) -> bool:
    """Whether pictures can share a run. Detectors whose outputs have no batch axis would mix them."""
    (port,) = outline.inputs
    is_open = port.shape is not None and port.shape[0] is None
    if isinstance(file, DetectionModel):
        return is_open and all(output.shape is not None and len(output.shape) == 3 for output in outline.outputs)
    return is_open


def output_widths(outline: Outline, file: ModelFile) -> tuple[int, ...]:
    """Length of the last axis of every output, in the graph's order.

    Raises:
        ConfigurationError: the outputs are not those of the contract.
    """
    names = [port.name for port in outline.outputs]
    if file.contract == "scrfd":
        if len(names) not in SCRFD_STRIDES:
            raise ConfigurationError(f"it has {len(names)} outputs; an SCRFD has 6, 9, 10 or 15")
        levels = len(SCRFD_STRIDES[len(names)])
        return tuple((1, 4, 10)[index // levels] for index in range(len(names)))
    if file.contract == "yunet":
        widths = {f"{kind}_{stride}": width for kind, width in _YUNET_WIDTHS.items() for stride in YUNET_STRIDES}
        if set(names) != set(widths):
            raise ConfigurationError(f"its outputs are not YuNet's: {', '.join(names)[:200]}")
        return tuple(widths[name] for name in names)
    if len(names) != 1:
        raise ConfigurationError(f"it has {len(names)} outputs; {file.contract} has one")
    return (file.dim if isinstance(file, EmbeddingModel) else _WIDTHS[file.contract],)


def shown(shape: Shape | None) -> str:
    """`? x 3 x 112 x 112`."""
    return "unknown" if shape is None else " x ".join("?" if side is None else str(side) for side in shape)


def _check_input(outline: Outline, file: ModelFile) -> Port:
    if isinstance(file, PictureFile):
        raise TypeError("networks for pictures are tried by deploy.models.picture_trial")
    if len(outline.inputs) != 1:
        raise ConfigurationError(f"it has {len(outline.inputs)} inputs; a model of a pack has one")
    (port,) = outline.inputs
    if not port.is_float32:
        raise ConfigurationError(f"its input {port.name!r} is not float32")
    side = file.input.side_px
    shape = port.shape or ()
    fits = len(shape) == 4 and all(
        given in (None, wanted) for given, wanted in zip(shape[1:], (3, side, side), strict=True)
    )
    if not fits:
        raise ConfigurationError(
            f"its input {port.name!r} has the shape {shown(port.shape)}; the manifest says ? x 3 x {side} x {side}"
        )
    if shape[0] not in (None, 1):
        raise ConfigurationError(f"it takes exactly {shape[0]} pictures a run; export it with an open batch axis")
    return port


def _locations(outputs: int, file: ModelFile) -> list[int]:
    if not isinstance(file, DetectionModel):
        return []
    strides = YUNET_STRIDES if file.contract == "yunet" else SCRFD_STRIDES[outputs]
    return [(file.input.side_px // stride) ** 2 for stride in strides]


def _anchors(outputs: int, file: ModelFile) -> int:
    return 2 if file.contract == "scrfd" and outputs in (6, 9) else 1
