"""Two parts of the pages that run in the browser: the upload of large files, and the slice viewer.

They are Streamlit components (v2): HTML, CSS and JavaScript that lie beside this file and are built by nothing.
"""

from pipeline.webapp.widgets.components import upload_widget, viewer_widget

__all__ = ["upload_widget", "viewer_widget"]
