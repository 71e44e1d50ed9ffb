"""One server on one port: Streamlit's pages, and beside them the routes that Streamlit has none for.

Uploads are streamed to the disk (`uploads`), results from it (`results`), volumes to viewers elsewhere (`viewers`),
health and metrics to whoever runs it (`state`). `identity` tells who asks. `application` puts them together.
"""

from pipeline.webapp.server.application import serve

__all__ = ["serve"]
