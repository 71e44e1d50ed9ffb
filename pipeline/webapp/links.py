"""Links to a job's volumes for viewers that cannot sign in, such as Neuroglancer or napari.

A link holds the owner and the job, signed with the server's key: only who sees the job can make it, whoever is given
it can read the volumes of that one job, and it ends with the job.
"""

from __future__ import annotations

from itsdangerous import BadSignature, URLSafeSerializer


class Links:
    """Makes such links, and reads them."""

    def __init__(self, key: bytes) -> None:
        self._serializer = URLSafeSerializer(key, salt="vemseg-link")

    def token(self, owner: str, job: str) -> str:
        """What stands for a job in a URL."""
        return str(self._serializer.dumps([owner, job]))

    def read(self, token: str) -> tuple[str, str] | None:
        """Owner and job, or None where the token is not ours."""
        try:
            owner, job = self._serializer.loads(token)
        except BadSignature:
            return None
        return owner, job
