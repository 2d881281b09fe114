"""Media types: what registries store (OCI image specification 1.1, Docker manifest v2 schema 2) and what is ours."""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST}) | INDEXES

EMPTY = "application/vnd.oci.empty.v1+json"
"""The config of an artifact that has none (OCI image specification 1.1, guidance for an empty descriptor)."""

IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""A signed statement; also the type of the artifact by which cosign finds one."""
WARRANT = "application/vnd.bootc-pipeline.warrant.v1+json"
"""The bundle of the statement that lets a key of the moment sign."""
SPDX = "application/spdx+json"
"""A bill of material; also the type of the artifact by which others find one (IANA, media types)."""

EVIDENCE = "application/vnd.bootc-pipeline.evidence.v1+json"
REPORT = "application/vnd.bootc-pipeline.report.v1.tar+gzip"
DISK = "application/vnd.bootc-pipeline.disk.v2"
DISK_CHUNK = f"{DISK}.chunk+zstd"
DISK_WHOLE = "application/vnd.bootc-pipeline.disk.v1"
"""A disk in one piece, as it was stored formerly."""
DISK_FILE = f"{DISK_WHOLE}."
"""Before the format of such a file."""
LEDGER = "application/vnd.bootc-pipeline.ledger.v1+json"
