"""The files of a run in a bucket, read straight from it (see `receiving.Remote`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import obstore

from pipeline.volume.objects import s3_client, storage_errors
from pipeline.workflow.cluster.receiving import RemoteFile


class Bucket:
    """The objects below an ``s3://`` URL, with the credentials of this machine (AWS_*)."""

    def __init__(self, url: str) -> None:
        self.url, self._client = url.rstrip("/"), s3_client(url.rstrip("/"))

    def files(self, folders: Iterable[str]) -> list[RemoteFile]:
        wanted: list[str | None] = [*folders] or [None]
        with storage_errors(self.url):
            pages = [page for folder in wanted for page in obstore.list(self._client, prefix=folder)]
        entries = (entry for page in pages for entry in page)
        return [RemoteFile(e["path"], e["size"], int(e["last_modified"].timestamp())) for e in entries]

    def contents(self, files: list[RemoteFile]) -> Iterator[tuple[RemoteFile, Iterator[bytes]]]:
        for file in files:
            yield file, self._chunks(file)

    def _chunks(self, file: RemoteFile) -> Iterator[bytes]:
        with storage_errors(f"{self.url}/{file.name}"):
            for chunk in obstore.get(self._client, file.name).stream():
                yield bytes(chunk)
