"""The command line: thin, one function of the package a command."""
