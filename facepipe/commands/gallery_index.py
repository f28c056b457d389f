"""`facepipe gallery index`: how a gallery is searched."""

import argparse

from facepipe.commands.session import Commands, Session, a_positive_number
from facepipe.commands.submit import watch_jobs
from facepipe.documents import GalleryIndex


def add_action(actions: Commands, common: argparse.ArgumentParser) -> None:
    """Define the action of `facepipe gallery`."""
    index = actions.add_parser(
        "index",
        parents=[common],
        help="how a gallery is searched: exactly, or by an approximate index",
        description="Without --kind, prints how it is. An approximate index is built beside searches, and used only if"
        " it was measured to find enough of the best matches.",
    )
    index.add_argument("name", metavar="GALLERY")
    index.add_argument("--kind", choices=("exact", "hnsw"), help="how to search from now on")
    index.add_argument("--min-recall", type=a_share, help="use it only if it finds such a share (default 0.99)")
    index.add_argument("--wait", action="store_true", help="show progress until the index is measured")
    index.set_defaults(run=run_index)


def a_share(text: str) -> float:
    """An argument above 0 and up to 1."""
    share = a_positive_number(text)
    if share > 1:
        raise argparse.ArgumentTypeError(f"{text} is above 1")
    return share


def run_index(session: Session) -> int:
    """Choose or print; with --wait, status 1 when the index was not built."""
    args, terminal, galleries = session.args, session.terminal, session.client.galleries
    if args.kind is None:
        gallery = galleries.get(args.name)
    else:
        gallery = galleries.set_index(args.name, args.kind, min_recall=args.min_recall)
    if args.wait and gallery.index and gallery.index.state == "building" and gallery.index.job_id:
        return watch_jobs(session, [(args.name, session.client.jobs.get(gallery.index.job_id))])
    if terminal.is_json:
        terminal.data(gallery)
    else:
        terminal.say(f"{args.name}: {_sentence(gallery.index)}")
    return 0


def _sentence(index: GalleryIndex | None) -> str:
    if index is None or index.kind == "exact":
        return "searched exactly."
    if index.state == "ready":
        return f"searched by an approximate index that finds {_percent(index.recall)} of the best matches."
    if index.state == "refused":
        return (
            f"searched exactly: the approximate index finds {_percent(index.recall)} of the best matches, and"
            f" {_percent(index.min_recall)} were asked for."
        )
    if index.state == "building":
        done = "" if index.built is None else f" ({_percent(index.built)})"
        return f"searched exactly; an index is being built{done}. Watch it with: facepipe watch {index.job_id}"
    return f"searched exactly: no index could be built. See: facepipe jobs show {index.job_id}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.1f} %"
