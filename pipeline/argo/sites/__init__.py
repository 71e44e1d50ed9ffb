"""The rules of a site, and manifests held against them: `vemseg check --site nrp`.

A site is a YAML file of this folder: its rules are data. A rule names a field of an object, a pod or a container (or a
fact worked out from it), and what the field must be. `manifests` finds the pods in what is given, and the facts: in
plain manifests, rendered charts and workflow files, in which patches are applied and parameters filled in.
"""

from pipeline.argo.sites.manifests import Manifest, read_manifests
from pipeline.argo.sites.rules import Finding, Site, check_manifests, load_site, site_names

__all__ = ["Finding", "Manifest", "Site", "check_manifests", "load_site", "read_manifests", "site_names"]
