"""What the routes and the pages of one server share.

Streamlit runs the pages' script in threads of the server's process and hands it nothing, so that the server leaves its
services here for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.webapp.cleanup import DAY_SECONDS
from pipeline.webapp.database import Database
from pipeline.webapp.jobs import JobStore
from pipeline.webapp.links import Links
from pipeline.webapp.owners import Owners, secret_key
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Uploads


@dataclass(frozen=True)
class Services:
    """The parts of a server, made once."""

    settings: Settings
    database: Database
    owners: Owners
    links: Links
    uploads: Uploads
    jobs: JobStore

    @classmethod
    def of(cls, settings: Settings) -> Services:
        """The services of a data folder, which is made if need be."""
        key, database = secret_key(settings.data), Database(settings.data)
        owners = Owners(settings.user_header, key, settings.session_days * DAY_SECONDS)
        uploads, jobs = Uploads(settings, database), JobStore(settings, database)
        return cls(settings, database, owners, Links(key), uploads, jobs)


_current: list[Services] = []


def use(services: Services) -> None:
    """Leave the services for the pages of this process."""
    _current[:] = [services]


def current() -> Services:
    """The services of the server that this process runs."""
    (services,) = _current
    return services
