"""One server on one port: Streamlit's pages, and beside them the routes that Streamlit has none for.

Uploads are streamed to the disk (`uploads`), results and volumes from it (`results`). `identity` tells who asks.
`application` puts them together.
"""

from pipeline.webapp.server.application import serve

__all__ = ["serve"]
