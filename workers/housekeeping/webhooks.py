"""Posts final documents to the `webhook_url` of their jobs, again and again until the receiver takes them.

At least once: a receiver that answered into a connection that broke, or a housekeeper that died, means another attempt
with the same `Facepipe-Delivery`.
"""

import hashlib
import hmac
import http.client
import logging
import ssl
import threading
import time
from collections import Counter
from contextlib import closing
from typing import Final

from common.documents import Job
from common.errors import FacepipeError, TransientError
from common.media_url import WEBHOOK_URL, check_url
from common.outbound import Connection, Deadline
from common.settings import WebhookSettings
from common.store.database import Database, Session
from common.store.webhooks import CHANNEL, Delivery, Webhooks

log = logging.getLogger("facepipe.webhooks")

_LEADER_LOCK: Final = 0x66616367
_IDLE_S: Final = 1.0
#: Beyond the time that a receiver has: for the name server, which has its own patience, and for the database.
_LEASE_MARGIN_S: Final = 60.0


def sign(secret: str, body: bytes, at: int) -> str:
    """Value of `Facepipe-Signature`: time, and HMAC-SHA256 of `<time>.<body>` in hex.

    Args:
        at: Unix seconds; a receiver refuses old ones, so that nobody can replay what he overheard.
    """
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


class Courier:
    """Delivers in threads of its own, so that no receiver ever delays the scheduler. Of several couriers one leads.

    Args:
        database: at least two connections, and one more for the lock.
        settings: see `WebhookSettings`.
    """

    def __init__(self, database: Database, settings: WebhookSettings) -> None:
        self._database = database
        self._webhooks = Webhooks(database)
        self._settings = settings
        self._per_url = max(1, settings.threads // 2)
        self._slots = threading.BoundedSemaphore(settings.threads)
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()
        self._is_leading = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin; survives an absent database."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is under way and ends with the process is attempted again."""
        self._stopping.set()
        self._thread.join(timeout=5 * _IDLE_S)

    def deliver_next(self) -> bool:
        """Attempt what has been due for longest, in this thread; False when nothing is. Raises TransientError."""
        delivery = self._claim()
        if delivery is None:
            return False
        self._attempt(delivery)
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with closing(self._database.session()) as session:
                    self._lead(session)
            except TransientError as error:
                log.warning("%s", error)
                self._stopping.wait(_IDLE_S)
            finally:
                self._is_leading = False

    def _lead(self, session: Session) -> None:
        session.listen(CHANNEL)
        while not self._stopping.is_set():
            self._is_leading = self._is_leading or session.try_lock(_LEADER_LOCK)
            if self._is_leading:
                self._fill()
            session.notifications(_IDLE_S)

    def _fill(self) -> None:
        """Begin as much as is due and there are free slots for."""
        while self._slots.acquire(blocking=False):
            delivery = None
            try:
                delivery = self._claim()
            finally:
                if delivery is None:
                    self._slots.release()
            if delivery is None:
                return
            threading.Thread(target=self._carry, args=(delivery,), name="webhook", daemon=True).start()

    def _carry(self, first: Delivery) -> None:
        delivery: Delivery | None = first
        try:
            while delivery is not None:
                self._attempt(delivery)
                delivery = self._claim() if self._is_leading and not self._stopping.is_set() else None
        except TransientError as error:
            log.warning("%s", error)
        finally:
            self._slots.release()

    def _claim(self) -> Delivery | None:
        with self._lock:
            crowded = [url for url, count in self._under_way.items() if count >= self._per_url]
            delivery = self._webhooks.claim(lease_s=self._settings.timeout_s + _LEASE_MARGIN_S, crowded=crowded)
            if delivery is not None:
                self._under_way[delivery.url] += 1
            return delivery

    def _attempt(self, delivery: Delivery) -> None:
        """Post, and write down what came of it. Raises TransientError."""
        status, error, is_final = None, "", False
        try:
            status = self._post(delivery)
            error = _complaint(status)
            is_final = status == http.HTTPStatus.GONE
        except FacepipeError as refusal:
            error, is_final = refusal.message, refusal.code == "forbidden_url"
        except ssl.SSLCertVerificationError as refusal:
            error = f"The certificate of the receiver is not valid: {refusal.verify_message}."
        except (OSError, http.client.HTTPException) as failure:
            error = f"The receiver did not answer: {str(failure) or type(failure).__name__}."
        except Exception:
            log.exception("a webhook cannot be sent", extra={"webhook": delivery.webhook_id})
            error = "A defect in facepipe; the log of housekeeping has the trace."
        finally:
            with self._lock:
                self._under_way[delivery.url] -= 1
                self._under_way += Counter()  # drops what is zero
        if status is not None and not error:
            self._webhooks.delivered(delivery, status)
            return
        log.info("a webhook was not taken", extra={"webhook": delivery.webhook_id, "reason": error})
        self._webhooks.missed(
            delivery, status=status, error=error, give_up_s=self._settings.give_up_s, is_final=is_final
        )

    def _post(self, delivery: Delivery) -> int:
        """Status of the answer, whose body nobody reads."""
        body = Job.from_row(delivery.job).model_dump_json().encode()
        secret = self._webhooks.secret(self._settings.secret)
        checked = check_url(delivery.url, self._settings.allowed, WEBHOOK_URL)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facepipe",
            "Facepipe-Delivery": delivery.webhook_id,
            "Facepipe-Signature": sign(secret, body, int(time.time())),
        }
        connection = Connection(checked, Deadline(self._settings.timeout_s))
        try:
            connection.request("POST", checked.target, body, headers)
            return connection.getresponse().status
        finally:
            connection.hang_up()


def _complaint(status: int) -> str:
    """What is wrong with an answer; empty for a 2xx."""
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed, give its final address."
    return f"The receiver answered {status}."
