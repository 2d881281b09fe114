"""Scenario definitions as openQA takes them with a submission, read before one is made.

The form is that of openQA's public schema JobScenarios-01: products, machines and job templates by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.errors import UsageError
from pipeline.openqa.foreign import readable

_TABLES = ("products", "machines", "job_templates")


@dataclass(frozen=True)
class Product:
    """What a submission asks for."""

    distri: str
    version: str
    flavor: str
    arch: str
    test: str = ""
    """Only this scenario; empty for all."""

    def __str__(self) -> str:
        return f"DISTRI {self.distri}, VERSION {self.version}, FLAVOR {self.flavor}, ARCH {self.arch}" + (
            f", TEST {self.test}" if self.test else ""
        )


@dataclass(frozen=True)
class Template:
    """One job that a submission would make."""

    title: str
    classes: frozenset[str]
    """What a worker must serve, all of it, to take the job."""


def templates(text: str, product: Product, settings: Mapping[str, str]) -> list[Template]:
    """The jobs that these definitions give for a product.

    Args:
        text: the YAML of the file.
        product: what is asked for.
        settings: the user's own, which are submitted with it, and win.

    As openQA makes them (OpenQA::Schema::Result::ScheduledProducts, _schedule_from_yaml): the worker classes of
    template, product and machine are asked for together.

    Raises UsageError for what is no such YAML, for a template of a product or machine that is not defined, and when no
    template is for this product.
    """
    tables = _tables(text)
    found = list[Template]()
    for name, template in tables["job_templates"].items():
        own = _named(tables, name, template, "product")
        entries = [template, own, _named(tables, name, template, "machine")]
        if product.test in ("", name) and ("product" not in template or _is_for(own, product)):
            asked = [settings["WORKER_CLASS"]] if "WORKER_CLASS" in settings else map(_worker_class, entries)
            classes = frozenset(word for said in asked for word in said.split(",") if word)
            machine = f"@{template['machine']}" if "machine" in template else ""
            found.append(Template(f"{name}{machine}", classes))
    if not found:
        raise UsageError(
            f"of {len(tables['job_templates'])} job templates none is for {product}: products must agree with distri, "
            "version ('*' is any), flavor and arch of pipeline.toml"
        )
    return found


def _tables(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"the scenario definitions are not YAML: {readable(error, 500)}") from error
    if not isinstance(document, dict):
        raise UsageError("the scenario definitions are no table of products, machines and job_templates")
    return {name: _entries(name, document.get(name)) for name in _TABLES}


def _entries(name: str, table: object) -> dict[str, dict[str, Any]]:
    if not isinstance(table, dict) or not table:
        raise UsageError(f"the scenario definitions have no {name}: expected a table of them by name")
    wrong = [str(key) for key, entry in table.items() if not isinstance(entry, dict)]
    if wrong:
        raise UsageError(f"the scenario definitions have {name} that are no tables: {readable(', '.join(wrong), 200)}")
    return {str(key): entry for key, entry in table.items()}


def _named(
    tables: Mapping[str, Mapping[str, dict[str, Any]]], name: str, template: Mapping[str, Any], key: str
) -> dict[str, Any]:
    """The product or machine of a template; nothing when it names none."""
    if key not in template:
        return {}
    wanted, there = str(template[key]), tables[f"{key}s"]
    if wanted not in there:
        raise UsageError(
            f"the job template {name!r} names the {key} {wanted[:200]!r}; there are {', '.join(there)[:500]}"
        )
    return there[wanted]


def _is_for(entry: Mapping[str, Any], product: Product) -> bool:
    same = all(str(entry.get(key)) == getattr(product, key) for key in ("distri", "flavor", "arch"))
    return same and str(entry.get("version")) in ("*", product.version)


def _worker_class(entry: Mapping[str, Any]) -> str:
    settings = entry.get("settings")
    return str(settings.get("WORKER_CLASS") or "") if isinstance(settings, dict) else ""
