"""A pack as a document: for scripts as it is, for people as lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.errors import ConfigurationError
from common.packs import ModelFile, Pack, find_pack, installed_packs, verify_file
from deploy.models.graphs import shown
from deploy.models.install import Shelf
from deploy.models.trial import Examined, examine_each

State = Literal["installed", "incomplete", "broken", "available"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list.

    Attributes:
        name: the pack.
        state: `installed`: every file is there, with its size; `incomplete`: a file is missing or has another size;
            `broken`: its manifest cannot be read; `available`: it can be installed by name.
        is_active: whether the server uses it.
        model_id: its embedding space; None: unknown, or it has none.
        bytes: size of its files.
        commercial_use: whether its licence allows commercial use.
        description: one sentence; of a broken pack, what is wrong.
    """

    name: str
    state: State
    is_active: bool
    model_id: str | None
    bytes: int
    commercial_use: bool
    description: str


def list_packs(shelf: Shelf, active: str) -> list[Row]:
    """Every pack that is here or can be installed by name, by name."""
    here = installed_packs(shelf.search)
    rows = []
    for name in sorted(here.keys() | shelf.catalogue.keys() | {active}):
        state: State = "available"
        manifest = shelf.catalogue[name].manifest if name in shelf.catalogue else None
        problem = "" if manifest else "it is set in FACEPIPE_MODEL_PACK, and there is no such pack"
        if name in here:
            try:
                pack = find_pack(name, shelf.search)
                manifest, state = pack.manifest, "installed" if _is_complete(pack) else "incomplete"
            except ConfigurationError as error:
                manifest, state, problem = None, "broken", error.message
        elif manifest is None:
            state = "broken"
        rows.append(
            Row(
                name=name,
                state=state,
                is_active=name == active,
                model_id=manifest.embedders[0].model_id if manifest and manifest.embedders else None,
                bytes=manifest.bytes if manifest else 0,
                commercial_use=bool(manifest and manifest.licence.commercial_use),
                description=manifest.description if manifest else problem,
            )
        )
    return rows


def describe_pack(shelf: Shelf, name: str, active: str) -> dict[str, Any]:
    """Everything there is to say about a pack that is here, or in the catalogue.

    Raises:
        ConfigurationError: there is no such pack, or its manifest is broken.
    """
    pack = None
    if name in installed_packs(shelf.search) or name not in shelf.catalogue:
        pack = find_pack(name, shelf.search)
    manifest = pack.manifest if pack else shelf.catalogue[name].manifest
    files = _describe_files(pack) if pack else [_describe_file(file, "not installed") for file in manifest.files]
    embedder = manifest.embedders[0] if manifest.embedders else None
    return {
        "name": name,
        "version": manifest.version,
        "description": manifest.description,
        "is_active": name == active,
        "directory": str(pack.directory) if pack else None,
        "licence": manifest.licence.model_dump(),
        "model_id": embedder and embedder.model_id,
        "dim": embedder and embedder.dim,
        "min_similarity": embedder and embedder.min_similarity,
        "min_similarity_origin": embedder and embedder.min_similarity_origin,
        "provisional": bool(embedder and embedder.provisional),
        "files": files,
    }


def as_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """`describe_pack` for people."""
    active = " (active)" if document["is_active"] else ""
    licence = document["licence"]
    yield f"{document['name']} {document['version']}{active}: {document['description']}"
    yield f"  in         {document['directory'] or 'the catalogue only: not installed'}"
    yield f"  licence    {licence['name']}; commercial use: {'yes' if licence['commercial_use'] else 'no'}"
    yield f"             {licence['notice']}"
    if document["model_id"]:
        yield f"  embeddings {document['model_id']}, {document['dim']} numbers"
        yield "  min_similarity for a false match rate: " + ", ".join(
            f"{bound:g} at {rate}" for rate, bound in document["min_similarity"].items()
        )
    if document["min_similarity_origin"]:
        yield f"             {document['min_similarity_origin']}"
    if document["provisional"]:
        yield "             PROVISIONAL: run `facepipe calibrate` on people of your own"
    for file in document["files"]:
        given = file.get("input")
        yield f"  {file['name']}: {file['task']}, {file['contract']}, {file['bytes'] / 1e6:.1f} MB, {file['state']}"
        if given:
            scale = f"(value - {_numbers(given['mean'])}) / {_numbers(given['std'])}"
            yield f"             input {given['side_px']} px, {given['colour']}, {scale}"
        if file["graph"]:
            graph = file["graph"]
            batch = "pictures share runs" if graph["is_batch_open"] else "pictures run one by one"
            yield f"             graph: {graph['input']}; {batch}"
            yield f"             gives {', '.join(graph['outputs'])}"
        yield f"             {file['origin']}"


def _describe_files(pack: Pack) -> list[dict[str, Any]]:
    problems: dict[str, str] = {}
    paths: dict[str, Path] = {}
    for file in pack.manifest.files:
        try:
            paths[file.name] = pack.path(file)
            verify_file(paths[file.name], file)
        except ConfigurationError as error:
            problems[file.name] = error.message
    good = [file for file in pack.manifest.files if file.name not in problems]
    examined = dict(
        zip(
            [file.name for file in good],
            examine_each([(paths[file.name], file) for file in good], run=False),
            strict=True,
        )
    )
    documents = []
    for file in pack.manifest.files:
        found = examined.get(file.name)
        if isinstance(found, Examined):
            documents.append(_describe_file(file, "verified", found))
        else:
            documents.append(_describe_file(file, problems.get(file.name) or str(found)))
    return documents


def _describe_file(file: ModelFile, state: str, examined: Examined | None = None) -> dict[str, Any]:
    document = file.model_dump(include={"name", "task", "contract", "bytes", "sha256", "origin", "input"})
    graph = (
        examined
        and examined.input_name
        and {
            "input": f"{examined.input_name} {shown(examined.input_shape)}",
            "outputs": [f"{name} {shown(shape)}" for name, shape in examined.outputs],
            "is_batch_open": examined.is_batch_open,
        }
    )
    return document | {"state": state, "graph": graph or None}


def _numbers(value: float | Sequence[float]) -> str:
    return f"{value:g}" if isinstance(value, float | int) else ", ".join(f"{each:g}" for each in value)


def _is_complete(pack: Pack) -> bool:
    try:
        return all(pack.path(file).stat().st_size == file.bytes for file in pack.manifest.files)
    except (ConfigurationError, OSError):
        return False
