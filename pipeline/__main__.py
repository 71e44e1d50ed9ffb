"""`python -m pipeline` is the command `vemseg`."""

from pipeline.cli import main

main()
