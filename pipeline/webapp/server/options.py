"""Streamlit's own options, as this application needs them."""

from __future__ import annotations

from typing import Any

from pipeline.webapp.settings import Settings

LIGHT = {"primaryColor": "#0f6b72", "linkColor": "#0f6b72", "borderColor": "#c9d1d3", "textColor": "#0e1417"}
"""Captions are the text's colour at three fifths: a lighter text would leave them with too little contrast."""
DARK = {
    "primaryColor": "#4fc3c8",
    "linkColor": "#7fd6da",
    "borderColor": "#44525a",
    "textColor": "#eef2f4",
    "backgroundColor": "#10151a",
    "secondaryBackgroundColor": "#1b222a",
}


def streamlit_options(settings: Settings) -> dict[str, Any]:
    """What is fixed for every site, and what follows from its settings."""
    return {
        "browser.gatherUsageStats": False,
        "browser.serverAddress": settings.host,  # else it asks a service outside for this machine's address
        "client.showErrorDetails": "none",  # a traceback helps no user; the log has it
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": True,
        "runner.magicEnabled": False,
        "server.address": settings.host,
        "server.baseUrlPath": settings.base_path.strip("/"),
        "server.fileWatcherType": "none",
        "server.headless": True,
        "server.maxUploadSize": 1,  # MB; files come by our own route
        "server.port": settings.port,
        "theme.headingFontSizes": ["2.25rem", "1.6rem", "1.3rem"],
        "theme.paddingTop": "2rem",
        **{f"theme.light.{name}": value for name, value in LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in DARK.items()},
    }
