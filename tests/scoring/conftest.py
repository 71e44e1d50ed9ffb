"""Examples have no deadline of their own: a busy machine is no failure, and pytest's timeout stops a hang."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
