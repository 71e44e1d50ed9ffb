"""`python -m pipeline` is the command `vemseg`."""

from pipeline.cli.main import main

main()
