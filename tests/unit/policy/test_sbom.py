"""What a bill of material says is in an image, as `plan` and `notes` compare it."""

import json
from typing import Any

import pytest

from pipeline.policy import sbom
from pipeline.policy.sbom import packages_listed


def package(name: str, version: str | None, kind: str = "", **more: Any) -> dict[str, Any]:
    purl = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:{kind}/x/{name}"}
    cpe = {"referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a:x"}
    told = {"versionInfo": version} if version else {}
    return {"SPDXID": f"SPDXRef-{kind}-{name}", "name": name, "externalRefs": [cpe, purl] if kind else []} | told | more


def bill(*packages: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": packages} | more).encode()


def test_packages_are_named_by_what_they_are() -> None:
    told = bill(
        package("zstd", "1.5-1.fc44", "rpm"),
        package("bash", "5.2", "deb"),
        package("bash", "5.2", "deb", SPDXID="SPDXRef-again"),
        package("requests", "2.32", "pypi"),
        package("vendored", None),
    )
    assert packages_listed(told) == ["bash 5.2", "pypi:requests 2.32", "vendored", "zstd 1.5-1.fc44"]


@pytest.mark.parametrize(
    "about",
    [
        {"documentDescribes": ["SPDXRef--image"]},
        {
            "relationships": [
                {
                    "spdxElementId": "SPDXRef-DOCUMENT",
                    "relationshipType": "DESCRIBES",
                    "relatedSpdxElement": "SPDXRef--image",
                },
                {"spdxElementId": "SPDXRef--image", "relationshipType": "CONTAINS", "relatedSpdxElement": "x"},
            ]
        },
    ],
)
def test_the_image_itself_is_no_package_of_it(about: dict[str, Any]) -> None:
    assert packages_listed(bill(package("image", "1"), package("bash", "5.2", "deb"), **about)) == ["bash 5.2"]


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (b"", "no SPDX 2.3 document in JSON"),
        (b"[]", "no SPDX 2.3 document in JSON"),
        (b'{"bomFormat": "CycloneDX"}', "KeyError: 'spdxVersion'"),
        (b'{"spdxVersion": "SPDX-3.0"}', "a document of SPDX-3.0; expected SPDX-2.3"),
        (bill().replace(b'"packages": []', b'"packages": [1]'), "TypeError"),
        (b"[" * 100_000, "RecursionError"),
    ],
)
def test_anything_else_is_no_bill(document: bytes, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        packages_listed(document)


def test_a_list_of_every_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "LARGEST", 10)
    with pytest.raises(ValueError, match="leave the list of files out"):
        packages_listed(bill())
