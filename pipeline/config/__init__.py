"""The configuration of a run: a strict model of its YAML, its errors with file and line, examples."""
