"""Who asks: the user whom a proxy has signed in, else whoever holds this browser's signed cookie.

An owner is 32 hexadecimal digits, so that it may name a folder and says nothing about the person.

- With ``user_header`` a single sign-on proxy in front names the user in that header of every request. The server must
  then be reachable through that proxy alone, which has to strip the header from what users send.
- Without it each browser gets a cookie with a random token, signed with a key that lies in the data folder. Whoever
  clears the cookie loses sight of the jobs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from itsdangerous import BadSignature, Signer

COOKIE = "vemseg_owner"
COOKIE_SECONDS = 400 * 24 * 3600  # browsers keep none for longer
DIGITS = 32


class Owners:
    """Tells owners apart by the headers and cookies of a request."""

    def __init__(self, user_header: str | None, key: bytes) -> None:
        self.user_header = user_header
        self._signer = Signer(key, salt=COOKIE)

    def of(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
        """The owner, or None where nobody is signed in or the cookie is missing or not ours."""
        if self.user_header is not None:
            user = headers.get(self.user_header, "").strip()
            return _owner("user", user) if user else None
        try:
            return _owner("session", self._signer.unsign(cookies[COOKIE]).decode())
        except (KeyError, BadSignature):
            return None

    def new_cookie(self) -> str:
        """The value of a cookie for a browser that has none."""
        return self._signer.sign(secrets.token_hex(16)).decode()


def secret_key(folder: Path) -> bytes:
    """The key that signs cookies and links: made once in ``folder``, readable by the server's user alone."""
    path = folder / "secret.key"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(secrets.token_bytes(32))
    return path.read_bytes()


def _owner(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()[:DIGITS]
