"""One writer a folder: a lock that the system gives back whenever and however the process ends."""

import itertools
import os
from pathlib import Path

from flowhft.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows has none: folders are not locked there
    fcntl = None  # type: ignore[assignment]

NAME = "lock"
# Locks that this process holds, by path, with the number of the call that took it last: the file must stay
# open. The system's record of it is that of the process: who begins again in the same process goes on.
_HELD: dict[Path, tuple[int, int]] = {}
_CALLS = itertools.count(1)


def take(folder: Path, busy: Path) -> int:
    """Lock a folder for this process, until `drop` or the end of the process, `kill -9` included.

    The lock is advisory: it keeps out whoever asks, as every run of flowhft does. Where the disk knows no
    locks (some network file systems), nobody is kept out.

    Args:
        folder: made if there is none; the file `NAME` in it is locked.
        busy: the folder that is being written, for the message.

    Returns:
        What `drop` takes so that it gives back this lock and no later one; 0 where there are no locks.

    Raises:
        UsageError: another process holds the lock.
    """
    if fcntl is None:
        return 0
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # it was there, and is gone by now
            if folder.exists() and not folder.is_dir():
                raise
            continue
        path = (folder / NAME).resolve()
        if (held := _HELD.get(path)) is not None:
            if _is(held[0], path):
                _HELD[path] = held[0], next(_CALLS)
                return _HELD[path][1]
            drop(folder)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # whoever had the folder has just removed it
            continue
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as cause:  # who of the two depends on the system
            holder = os.read(file, 64).decode("ascii", "replace").strip()
            os.close(file)
            process = f"process {holder}" if holder.isdigit() else "another process"
            raise UsageError(
                f"`out` must not be written by two processes at once; {process} is writing `{busy}`. Wait "
                "until it has ended, or choose another folder."
            ) from cause
        except OSError:  # a disk without locks
            os.close(file)
            path.unlink(missing_ok=True)
            return 0
        if _is(file, path):  # else it was removed between opening and locking, and another one is the lock
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
            _HELD[path] = file, next(_CALLS)
            return _HELD[path][1]
        os.close(file)


def drop(folder: Path, taken: int | None = None) -> None:
    """Give a lock back and remove its file; nothing where this process holds none.

    Args:
        folder: as given to `take`.
        taken: what `take` returned: nothing is done where the lock was taken again since. None for whichever.
    """
    path = (folder / NAME).resolve()
    file, latest = _HELD.get(path, (None, 0))
    if file is None or taken not in (None, latest):
        return
    del _HELD[path]
    if _is(file, path):
        path.unlink(missing_ok=True)
    os.close(file)


def drop_all() -> None:
    """Give back all locks of this process: what it was at has ended."""
    for path in list(_HELD):
        drop(path.parent)


def _is(file: int, path: Path) -> bool:
    """Return whether an open file is the one that a path names."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    here = os.fstat(file)
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)
