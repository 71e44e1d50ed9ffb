"""What the routes and the pages of one server share.

Streamlit runs the pages' script in threads of the server's process and hands it nothing, so that the server leaves its
services here for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.webapp.jobs import JobStore
from pipeline.webapp.links import Links
from pipeline.webapp.owners import Owners, secret_key
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Uploads


@dataclass(frozen=True)
class Services:
    """The parts of a server, made once."""

    settings: Settings
    owners: Owners
    links: Links
    uploads: Uploads
    jobs: JobStore

    @classmethod
    def of(cls, settings: Settings) -> Services:
        """The services of a data folder, which is made if need be."""
        key = secret_key(settings.data)
        return cls(settings, Owners(settings.user_header, key), Links(key), Uploads(settings), JobStore(settings))


_current: list[Services] = []


def use(services: Services) -> None:
    """Leave the services for the pages of this process."""
    _current[:] = [services]


def current() -> Services:
    """The services of the server that this process runs."""
    (services,) = _current
    return services
