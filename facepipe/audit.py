"""The audit: who enrolled, searched, exported, erased whom."""

from collections.abc import Iterator

from facepipe.documents import AuditLine
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of


class Audit:
    """`client.audit`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        action: str | None = None,
        gallery: str | None = None,
        subject_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[AuditLine]:
        """Lines, newest first.

        Args:
            since, until: RFC 3339 with a zone; `until` exclusive.
        """
        wanted = {"action": action, "gallery": gallery, "subject": subject_id, "since": since, "until": until}
        query = {name: value for name, value in wanted.items() if value is not None}
        return map(AuditLine.from_wire, items_of(self._transport, path_of("audit"), query))
