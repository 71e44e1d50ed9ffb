"""The rules of a site: reading them, every field checked, and holding manifests against them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from pipeline.argo.sites.manifests import (
    MadePod,
    Manifest,
    access_modes_of,
    config_maps_of,
    container_facts,
    pod_facts,
    pods_of,
    quantity,
)
from pipeline.argo.yamlfile import Object
from pipeline.errors import InputError

ABOUT = ("object", "pod", "container")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule: `field` of each object, pod or container must fulfil all of `must`.

    Attributes:
        name: short, unique in its site; a rule of the same name in a site that extends another replaces it.
        about: whose field it is: object, pod or container.
        field: dotted path; `[]` stands for each item of a list; `facts.` begins what `manifests` works out.
        must: operation -> argument; the operations are those of `OPERATIONS`.
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


@dataclass(frozen=True)
class Finding:
    """A rule that is broken: where, by what value, and what to do."""

    file: str
    object: str
    path: str
    rule: str
    value: str
    cure: str

    def __str__(self) -> str:
        return f"{self.file}: {self.object}: {self.path} is {self.value} [{self.rule}]: {self.cure}"


def _contains(value: Any, wanted: list[Any]) -> bool:
    return all(item in (value or []) for item in wanted)


def _only(value: Any, allowed: list[Any]) -> bool:
    return all(item in allowed for item in (value or []))


# What a field must be. A field that is absent is None; a text with a {{tag}} left is not judged.
OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "be": lambda value, allowed: value in allowed,
    "not-be": lambda value, refused: value not in refused,
    "be-set": lambda value, wanted: (value not in (None, "", [], {})) is wanted,
    "contain": _contains,
    "contain-only": _only,
    "be-at-most": lambda value, most: value is None or (quantity(value) or 0) <= (quantity(most) or 0),
    "match": lambda value, pattern: value is None or re.search(pattern, str(value)) is not None,
    "not-match": lambda value, pattern: value is None or re.search(pattern, str(value)) is None,
    "have-only-keys": lambda value, allowed: set(value or {}) <= set(allowed),
}


def check_manifests(manifests: list[Manifest], site: Site, values: Mapping[str, str] | None = None) -> list[Finding]:
    """Every rule of `site` that `manifests` break, in order; `values` fill in parameters of workflows.

    ConfigMaps and volume claims among the manifests tell what workflows refer to.
    """
    maps, modes = config_maps_of(manifests), access_modes_of(manifests)
    found: list[Finding] = []
    for manifest in manifests:
        for rule in _about(site, "object", manifest.kind):
            found += _broken(rule, manifest, "", manifest.content, {})
        for pod in pods_of(manifest, values or {}, maps):
            found += _of_pod(site, pod, modes)
    return list(dict.fromkeys(found))


def _of_pod(site: Site, pod: MadePod, modes: Mapping[str, list[str]]) -> Iterator[Finding]:
    kind = pod.manifest.kind
    facts = pod_facts(pod, modes)
    for rule in _about(site, "pod", kind):
        yield from _broken(rule, pod.manifest, pod.path, {**pod.spec, "facts": facts}, {})
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.spec.get(group) or []:
            path = f"{pod.path}.{group}[{container.get('name')}]"
            subject = {**container, "facts": {**facts, **container_facts(container)}, "group": group}
            for rule in _about(site, "container", kind):
                yield from _broken(rule, pod.manifest, path, subject, pod.spec)


def _about(site: Site, what: str, kind: str) -> list[Rule]:
    return [rule for rule in site.rules if rule.about == what and (not rule.kinds or kind in rule.kinds)]


def _broken(rule: Rule, manifest: Manifest, path: str, subject: Object, around: Object) -> Iterator[Finding]:
    for field, must in rule.when.items():
        if not all(_fulfilled(value, must) for _place, value in values_at(subject, field)):
            return
    for place, value in values_at(subject, rule.field):
        inherited = value
        if value is None and rule.inherit:
            inherited = next((found for _place, found in values_at(around, rule.field)), None)
        if not _fulfilled(inherited, rule.must):
            shown = "not set" if inherited is None else repr(inherited)
            where = f"{path}.{place}".lstrip(".")
            yield Finding(manifest.file, manifest.label, where, rule.name, shown, rule.cure)


def _fulfilled(value: Any, must: Mapping[str, Any]) -> bool:
    if isinstance(value, str) and "{{" in value:
        return True
    return all(OPERATIONS[operation](value, argument) for operation, argument in must.items())


def values_at(subject: Any, field: str) -> Iterator[tuple[str, Any]]:
    """Every value at a dotted path, with its place; `None` where the path ends early, nothing for an empty list."""
    name, _, rest = field.partition(".")
    key, is_list = name.removesuffix("[]"), name.endswith("[]")
    value = subject.get(key) if isinstance(subject, dict) else None
    items = [(f"{key}[{index}]", item) for index, item in enumerate(value or [])] if is_list else [(key, value)]
    for place, item in items:
        if rest:
            yield from ((f"{place}.{below}", found) for below, found in values_at(item, rest))
        else:
            yield place, item
