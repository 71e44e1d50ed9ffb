"""The database of a data folder: what is known of uploads and jobs; their files lie beside it.

SQLite in WAL mode, through one connection a process, whose lock makes one writer of its threads; processes wait for
each other. On a network file system all processes that use it must run on one machine, as SQLite asks for.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, StorageError

NAME = "application.sqlite"
PRIVATE = 0o700
BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, address TEXT NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL,
    started_at REAL, ended_at REAL, cancel_requested INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    record TEXT NOT NULL, steps TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_of_state ON jobs (state, created_at);
CREATE INDEX jobs_of_owner ON jobs (owner, created_at);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, address TEXT NOT NULL, name TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX uploads_of_owner ON uploads (owner);
"""
COLUMNS = ("id", "owner", "address", "state", "created_at", "started_at", "ended_at")
"""Columns of a job that its record does not repeat."""
Row = sqlite3.Row
logger = logging.getLogger(__name__)


class Database:
    """Opens the database of a folder, which is made, or brought to the present schema, if need be.

    Methods may be called from any thread. They raise StorageError where the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self._lock = threading.RLock()
        with _storage_errors(folder):
            self._connection = sqlite3.connect(
                folder / NAME, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            weakref.finalize(self, self._connection.close)
            (folder / NAME).chmod(0o600)
            self._connection.row_factory = sqlite3.Row
            self._connection.text_factory = lambda content: content.decode(errors="replace")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
        self._folder = folder
        if self._version() != len(MIGRATIONS):
            with self.writing():
                self._migrate()

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows of a query."""
        with self._lock, _storage_errors(self._folder):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """A transaction in which nobody else writes; yields what executes a statement. An exception undoes it."""
        with self._lock, _storage_errors(self._folder):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _version(self) -> int:
        ((version,),) = self.read("PRAGMA user_version")
        return int(version)

    def _migrate(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise ConfigError(
                f"{self._folder / NAME} is of a newer vemseg (schema {version}, this one knows {len(MIGRATIONS)}); "
                "install that one again, or name another folder with --data"
            )
        for number, migrate in enumerate(MIGRATIONS[version:], version + 1):
            migrate(self._connection.execute, self._folder)
            self._connection.execute(f"PRAGMA user_version = {number}")


def _from_folders(execute: Callable[..., sqlite3.Cursor], folder: Path) -> None:
    """The first schema; takes in the records of a version that kept each in a JSON file. One unreadable stays out."""
    for statement in filter(str.strip, _TABLES.split(";")):
        execute(statement)
    for path in sorted(folder.glob("jobs/*/job.json")):
        with _skipping(path):
            record, steps = _object(path), []
            with suppress(OSError, ValueError, KeyError, TypeError):
                steps = _object(path.with_name("progress.json"))["steps"]
            known = {"address": "", **record, "id": path.parent.name}
            columns = [known.pop(name) for name in COLUMNS]
            cancelled = int(path.with_name("cancel").exists())
            values = (*columns, cancelled, 0, json.dumps(known), json.dumps(steps))
            execute(f"INSERT INTO jobs VALUES ({','.join('?' * len(values))})", values)
    for path in sorted(folder.glob("uploads/*/upload.json")):
        with _skipping(path):
            facts = _object(path)
            values = (path.parent.name, facts["owner"], "", facts["name"], facts["size_bytes"], path.stat().st_mtime)
            execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", values)


MIGRATIONS: tuple[Callable[[Callable[..., sqlite3.Cursor], Path], None], ...] = (_from_folders,)
"""What brings a database from each version of the schema to the next; the first makes it."""


def private_folder(folder: Path) -> None:
    """Make a folder that only the server's user can look into."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        folder.chmod(PRIVATE)
    except OSError as error:  # it belongs to somebody else, as on some volumes of a cluster
        logger.warning("%s may be read by others: %s", folder, error)


def _object(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    return content


@contextmanager
def _skipping(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, OverflowError, sqlite3.Error) as error:
        logger.warning("%s is left out, because it cannot be read: %s", path, error)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(
            f"the application's database cannot be used now ({error}); try again, or tell whoever runs this server"
        ) from error
