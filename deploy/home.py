"""The directory of one stack: its lock, its logs, its frame store and the file that says where it listens."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from common.errors import ConfigurationError

_KEPT_LOGS = 3
_LINK = ".home"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it is private


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Contents of `stack.json`; readable by its owner alone, because the URLs carry passwords."""

    pid: int
    api_url: str
    flower_url: str
    database_url: str
    redis_url: str


class Home:
    """One FACEPIPE_HOME.

    Args:
        path: the directory; made by `lock` when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._state = self.path / "stack.json"
        self._lock = self.path / "launcher.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home for one launcher; the kernel frees it however the launcher ends.

        Raises:
            ConfigurationError: another launcher holds it, or the directory cannot be written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # faces lie in here
            file = self._lock.open("a+")
        except OSError as error:
            raise ConfigurationError(
                f"The directory {self.path} cannot be used: {error.strerror or error}. Make it writable for this user,"
                " or choose another FACEPIPE_HOME."
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise ConfigurationError(
                    f"A launcher (process {file.read().strip() or 'unknown'}) already runs on {self.path}. Stop it,"
                    " or choose another FACEPIPE_HOME."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self._state.unlink(missing_ok=True)  # of a launcher that was killed
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)

    def log(self, service: str) -> Path:
        """Log file of a service; what an earlier stack wrote is kept under a number."""
        folder = self.path / "logs"
        folder.mkdir(exist_ok=True)
        path = folder / f"{service}.log"
        for number in range(_KEPT_LOGS, 0, -1):
            older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
        return path

    def announce(self, stack: RunningStack) -> None:
        """Tell other programs of this user where the stack is."""
        fresh = self._state.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(stack), file, indent=1)
        fresh.replace(self._state)

    def running(self) -> RunningStack | None:
        """The stack that runs on this home and is ready, if one does."""
        try:
            stack = RunningStack(**json.loads(self._state.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return stack if self._is_locked() else None  # nobody holds the lock of a launcher that was killed

    @contextmanager
    def frames(self, capacity_bytes: int) -> Iterator[Path]:
        """An empty, private folder for the frame store: in shared memory if that has the room, else in the home.

        It is removed at the end. A launcher that is killed leaves it in memory, with a link to its home beside it, by
        which the next launcher on this machine knows that nobody needs it any more.

        Raises:
            ConfigurationError: its place is taken by another user.
        """
        _remove_abandoned_frames()
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        folder = _SHARED_MEMORY / f"facepipe-{digest}"
        link = folder.with_suffix(_LINK)
        if not _has_room(_SHARED_MEMORY, capacity_bytes):
            folder, link = self.path / "frames", self.path / f"frames{_LINK}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise ConfigurationError(
                f"The frame store {folder} cannot be made: {error.strerror or error}."
                " Remove it, or set FACEPIPE_FRAMES__DIRECTORY to a folder of this stack alone."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            link.unlink(missing_ok=True)

    def _is_locked(self) -> bool:
        try:
            with self._lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def _remove_abandoned_frames() -> None:
    for link in _SHARED_MEMORY.glob(f"facepipe-*{_LINK}"):
        with suppress(OSError):  # of another user
            if link.lstat().st_uid == os.geteuid() and not Home(link.readlink())._is_locked():
                shutil.rmtree(link.with_suffix(""), ignore_errors=True)
                link.unlink()


def _has_room(folder: Path, needed_bytes: int) -> bool:
    try:
        return shutil.disk_usage(folder).free >= needed_bytes and os.access(folder, os.W_OK)
    except OSError:
        return False
