"""Scenario definitions, before openQA gets them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.openqa.scenarios import Product, Template, templates

LAB = Path(__file__).parents[3] / "ci/lab/openqa/scenarios.yaml"
OS = Product("bootc", "1.0.0", "server", "x86_64")
TEXT = """
products:
  server: {distri: bootc, flavor: server, version: '*', arch: x86_64, settings: {WORKER_CLASS: from_product}}
  next: {distri: bootc, flavor: server, version: 2, arch: x86_64}
machines:
  uefi: {backend: qemu, settings: {WORKER_CLASS: 'qemu_x86_64,tap'}}
  bios: {backend: qemu}
job_templates:
  boot: {product: server, machine: uefi}
  bare: {product: server, machine: bios}
  own: {product: server, machine: uefi, settings: {WORKER_CLASS: own}}
  later: {product: next, machine: uefi}
  any: {priority: 30}
"""


def test_the_jobs_of_a_product_with_what_their_workers_must_serve() -> None:
    assert templates(TEXT, OS, {}) == [
        Template("boot@uefi", frozenset({"from_product", "qemu_x86_64", "tap"})),
        Template("bare@bios", frozenset({"from_product"})),
        Template("own@uefi", frozenset({"own", "from_product", "qemu_x86_64", "tap"})),
        Template("any", frozenset()),
    ]
    assert [one.classes for one in templates(TEXT, OS, {"WORKER_CLASS": "a,b"})] == [{"a", "b"}] * 4
    assert templates(TEXT, Product("bootc", "2", "server", "x86_64", "later"), {}) == [
        Template("later@uefi", frozenset({"qemu_x86_64", "tap"}))
    ]


def test_the_labs_own() -> None:
    (only,) = templates(LAB.read_text(), Product("bootclab", "1", "qcow2", "x86_64"), {})
    assert only == Template("Full Regression Suite@uefi", frozenset({"qemu_x86_64"}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "not YAML"),
        ("", "no table"),
        ("[]", "no table"),
        ("{}", "no products"),
        ("{products: {}}", "no products"),
        ("{products: {a: 1}}", "no tables: a"),
        (TEXT.replace("machine: bios", "machine: efi"), "names the machine 'efi'; there are uefi, bios"),
        (TEXT.replace("product: next", "product: old"), "names the product 'old'"),
        (
            TEXT.replace("arch: x86_64", "arch: aarch64").replace("  any", "# "),
            "none is for DISTRI bootc, VERSION 1.0.0",
        ),
        ("[" * 1500, "not YAML"),
        ("2026-13-45", "not YAML"),
    ],
)
def test_what_openqa_would_make_nothing_of_is_found(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        templates(text, OS, {})
    assert words in str(refused.value)


@given(st.text())
def test_any_text_is_a_list_of_jobs_or_a_usage_error(text: str) -> None:
    for whole in (text, f"{TEXT}{text}", f"products: {text}", TEXT.replace("uefi", text)):
        try:
            assert templates(whole, OS, {})
        except UsageError:
            continue
