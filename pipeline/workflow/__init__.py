"""Argo workflow files: reading them and running them on this machine."""
