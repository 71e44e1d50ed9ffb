"""Reading a site's rules; every field of a rule is checked, so that a misspelt one cannot switch it off."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from pipeline.errors import InputError

ABOUT = ("object", "pod", "container")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule: `field` of each object, pod or container must fulfil all of `must`.

    Attributes:
        name: short, unique in its site; a rule of the same name in a site that extends another replaces it.
        about: whose field it is: object, pod or container.
        field: dotted path; `[]` stands for each item of a list; `facts.` begins what `facts` works out.
        must: operation -> argument; the operations are listed in `checking`.
        cure: what to write instead.
        kinds: only of pods made by these kinds of object; empty for all.
        when: field -> what it must fulfil for the rule to apply.
        inherit: where a container does not have the field, that of its pod counts.
    """

    name: str
    about: str
    field: str
    must: Mapping[str, Any]
    cure: str
    kinds: tuple[str, ...] = ()
    when: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    inherit: bool = False


@dataclasses.dataclass(frozen=True)
class Site:
    """A named set of rules, those of the sites that it extends included; `source` is where they are written down."""

    name: str
    title: str
    source: str
    rules: tuple[Rule, ...]


def site_names() -> list[str]:
    """The names of all sites."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_site(name: str) -> Site:
    """The site `name`; `InputError` where there is none."""
    if name not in site_names():
        raise InputError(f"no site is called {name!r}; there are {', '.join(site_names())}")
    content = yaml.safe_load(resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return parsed_site(content)


def parsed_site(content: Mapping[str, Any]) -> Site:
    """A site from the content of its file; `InputError` names a rule that is not right."""
    known = {"name", "title", "source", "extends", "rules"}
    if content.keys() - known:
        raise InputError(f"site {content.get('name')}: unknown key {min(content.keys() - known)!r}")
    base = load_site(content["extends"]).rules if "extends" in content else ()
    rules = {rule.name: rule for rule in base} | {rule.name: rule for rule in map(_rule, content["rules"])}
    return Site(content["name"], content["title"], content["source"], tuple(rules.values()))


def _rule(content: Mapping[str, Any]) -> Rule:
    from pipeline.workflow.sites.checking import OPERATIONS

    name = content.get("name", content)
    try:
        rule = Rule(**{**content, "kinds": tuple(content.get("kinds", ()))})
    except TypeError as error:
        raise InputError(f"rule {name}: {error}") from error
    operations = {operation for must in (rule.must, *rule.when.values()) for operation in must}
    if operations - OPERATIONS.keys():
        raise InputError(f"rule {name}: unknown operation {min(operations - OPERATIONS.keys())!r}")
    if rule.about not in ABOUT or not re.fullmatch(r"[\w.\[\]-]+", rule.field):
        raise InputError(f"rule {name}: 'about' must be one of {', '.join(ABOUT)}, 'field' a dotted path")
    return rule
