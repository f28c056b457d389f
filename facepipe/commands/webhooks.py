"""`facepipe webhooks list|replay`; `webhooks secret` is in `facepipe.commands.server`."""

import argparse
from itertools import islice

from facepipe.commands.session import Commands, Session, a_count


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    family = commands.add_parser("webhooks", help="see what became of webhooks, deliver one again, show the secret")
    actions = family.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="newest first")
    listing.add_argument("--state", choices=("pending", "delivered", "failed"))
    listing.add_argument("--job", help="only those of this job")
    listing.add_argument("--limit", type=a_count, default=20, help="at most this many (default 20)")
    listing.set_defaults(run=run_list)
    replay = actions.add_parser("replay", parents=[common], help="deliver one again, whatever became of it")
    replay.add_argument("webhook", metavar="WEBHOOK", help="id, as `list` shows it")
    replay.set_defaults(run=run_replay)
    actions.add_parser("secret", add_help=False, help="show what signs the deliveries, on the server's machine")


def run_list(session: Session) -> int:
    """Print the newest webhooks."""
    args, terminal = session.args, session.terminal
    webhooks = list(islice(session.client.webhooks.list(state=args.state, job_id=args.job), args.limit))
    if terminal.is_json:
        for webhook in webhooks:
            terminal.data(webhook)
        return 0
    terminal.table(
        ("webhook", "job", "state", "attempts>", "next", "what was wrong", "url"),
        (
            (
                webhook.id,
                webhook.job_id,
                webhook.state,
                webhook.attempts,
                f"{webhook.next_at:%Y-%m-%d %H:%M:%S}" if webhook.next_at else None,
                webhook.last_error,
                webhook.url,
            )
            for webhook in webhooks
        ),
    )
    return 0


def run_replay(session: Session) -> int:
    """Deliver one again."""
    webhook = session.client.webhooks.replay(session.args.webhook)
    if session.terminal.is_json:
        session.terminal.data(webhook)
    else:
        session.terminal.say(f"Webhook {webhook.id} of job {webhook.job_id} is on its way to {webhook.url} again.")
    return 0
