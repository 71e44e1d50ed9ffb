"""Who asks: the user whom a proxy has signed in, else whoever holds this browser's signed cookie.

An owner is 32 hexadecimal digits, so that it may name a folder and says nothing about the person.

- With ``user_header`` a single sign-on proxy in front names the user in that header of every request. The server must
  then be reachable through that proxy alone, which has to strip the header from what users send.
- Without it each browser gets a cookie with a random token and a time, signed with a key that lies in the data folder.
  Whoever clears the cookie, or stays away for longer than a session lasts, loses sight of the jobs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from itsdangerous import BadSignature, TimestampSigner

from pipeline.webapp.database import private_folder

COOKIE = "vemseg_owner"
RENEWALS = 30
"""How often in a session that is used all the time its cookie is signed anew."""
DIGITS = 32
NEIGHBOURS = 64
"""Bits that tell one IPv6 network from another: whoever has one address has all of its network."""


class Owners:
    """Tells owners apart by the headers and cookies of a request."""

    def __init__(self, user_header: str | None, key: bytes, session_seconds: float) -> None:
        self.user_header, self.session_seconds = user_header, session_seconds
        self._signer = TimestampSigner(key, salt=COOKIE)

    def of(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
        """The owner, or None where nobody is signed in or the cookie is missing or not ours."""
        if self.user_header is not None:
            user = headers.get(self.user_header, "").strip()
            return _owner("user", user) if user else None
        token = self._token(cookies, self.session_seconds)
        return None if token is None else _owner("session", token)

    def cookie(self, cookies: Mapping[str, str]) -> str | None:
        """The value of the cookie that a browser is to get: a new session, or more time for its own; None for neither.

        A session that was given time within the last part of its life needs none yet.
        """
        if self._token(cookies, self.session_seconds / RENEWALS) is not None:
            return None
        token = self._token(cookies, self.session_seconds) or secrets.token_hex(16)
        return self._signer.sign(token).decode()

    def _token(self, cookies: Mapping[str, str], most_seconds: float) -> str | None:
        try:
            return self._signer.unsign(cookies[COOKIE], max_age=int(most_seconds)).decode()
        except (KeyError, BadSignature):
            return None


def secret_key(folder: Path) -> bytes:
    """The key that signs cookies and links: made once in ``folder``, readable by the server's user alone."""
    path = folder / "secret.key"
    private_folder(folder)
    with suppress(FileExistsError), open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(secrets.token_bytes(32))
    return path.read_bytes()


def _owner(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()[:DIGITS]


def network_of(host: str | None) -> str:
    """What stands for the network that an address belongs to, where limits are by address."""
    address = address_of(host or "")
    if isinstance(address, IPv6Address):
        return str(ip_network((address, NEIGHBOURS), strict=False))
    return str(address or "local")


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text writes, IPv4 where IPv6 only wraps it; None where it writes none."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
