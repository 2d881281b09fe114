"""The images behind a Containerfile, in the shapes that real repositories have."""

import pytest

from pipeline.policy.containerfile import Bases, Reference, bases, build_arguments

FLAVORS = """\
# syntax=docker/dockerfile:1
ARG BASE=quay.io/almalinuxorg/almalinux-bootc
ARG TAG="10"
FROM scratch AS ctx
COPY build /build
FROM ghcr.io/owner/akmods:${KERNEL:-main} AS akmods
FROM ${BASE}:${TAG} AS base
ARG TAG
RUN --mount=type=bind,from=ctx,source=/,target=/ctx --mount=type=cache,target=/var/cache \\
    # a comment in between
    /ctx/build/base.sh
RUN <<EOF
FROM nothing that counts
EOF
FROM base AS Gnome
COPY --from=akmods / /tmp/akmods
COPY --from=ghcr.io/owner/tools:1 /tool /usr/bin/tool
FROM base AS kde
RUN true
"""
BASE = "quay.io/almalinuxorg/almalinux-bootc:10"


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("gnome", Bases(BASE, ("ghcr.io/owner/akmods:main", BASE, "ghcr.io/owner/tools:1"))),
        ("", Bases(BASE, (BASE,))),
        ("0", Bases()),
        ("nowhere", Bases()),
    ],
)
def test_only_what_the_built_stage_needs_counts(target, found):
    assert bases(FLAVORS, {}, target=target) == found


@pytest.mark.parametrize(
    ("text", "args", "final"),
    [
        ("FROM quay.io/a/b:1", {}, "quay.io/a/b:1"),
        ("from --platform=linux/amd64 quay.io/a/b:1 as x", {}, "quay.io/a/b:1"),
        ("ARG B=quay.io/a/b\nFROM $B", {"B": "quay.io/a/c:2"}, "quay.io/a/c:2"),
        ("ARG A=10\nARG B=quay.io/a/b:${A}\nFROM ${B}", {"A": "11"}, "quay.io/a/b:11"),
        ("ARG B\nFROM quay.io/a/b${B:+-hwe}", {"B": "yes"}, "quay.io/a/b-hwe"),
        ("ARG B\nFROM quay.io/a/b${B:+-hwe}", {}, "quay.io/a/b"),
        ("FROM ${UNKNOWN}", {}, ""),
        ("FROM\tquay.io/a/b:1", {}, "quay.io/a/b:1"),
        ("\ufeffFROM quay.io/a/b:1\r\n", {}, "quay.io/a/b:1"),
        ("# a path such as C:\\\nFROM quay.io/a/b:1", {}, "quay.io/a/b:1"),
        ("\\\nFROM quay.io/a/b:1", {}, "quay.io/a/b:1"),
        ("# escape=`\nFROM quay.io/a/b:1\nRUN a `\nFROM b\n", {}, "quay.io/a/b:1"),
        ("FROM fedora\nRUN echo $((1<<x)) <<<word '<<EOF'\nFROM quay.io/a/b:1", {}, "quay.io/a/b:1"),
        ("FROM quay.io/a/b:1\nRUN cat <<EOF-1 >x\nFROM fedora\nEOF-1\n", {}, "quay.io/a/b:1"),
        ("FROM quay.io/a/b:1\nRUN echo '\N{LINE SEPARATOR}FROM fedora'\n", {}, "quay.io/a/b:1"),
        ("FROM quay.io/a/b:1\nCOPY --from=\N{SUPERSCRIPT TWO} a b", {}, "quay.io/a/b:1"),
        (f"FROM quay.io/a/b:1\nCOPY --from={'9' * 5000} a b", {}, "quay.io/a/b:1"),
        ("FROM fedora AS fedora\nCOPY --from=fedora / /", {}, "fedora"),
        ("FROM scratch", {}, ""),
        ("\\", {}, ""),
        ("FROM ctx", {}, ""),
        ("", {}, ""),
    ],
)
def test_variables_are_filled_in_as_a_build_fills_them(text, args, final):
    assert bases(text, args, contexts=["ctx"]).final == final


D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("quay.io/a/b:1", ("quay.io/a/b", "1", None)),
        ("quay.io/a/b", ("quay.io/a/b", "latest", None)),
        ("registry.lan:5000/b", ("registry.lan:5000/b", "latest", None)),
        (f"quay.io/a/b:1@{D}", ("quay.io/a/b", "1", D)),
        (f"docker://quay.io/a/b@{D}", ("quay.io/a/b", "latest", D)),
        ("docker.io/fedora:43", ("docker.io/library/fedora", "43", None)),
        ("docker.io/a/b:43", ("docker.io/a/b", "43", None)),
        ("fedora:43", None),
        ("library/fedora", None),
        ("localhost/built-before:1", None),
        ("oci-archive:out.ociarchive", None),
        ("quay.io/a/b@md5:1", None),
    ],
)
def test_only_a_full_name_says_where_an_image_is(text, found):
    reference = Reference.parse(text)
    assert found == (reference and (str(reference.repository), reference.tag, reference.digest))


def test_a_file_of_arguments_is_read_as_podman_reads_it():
    assert build_arguments("# ours\n\nA=1\n B = two words\nC\n") == {"A": "1", "B": " two words"}


def test_a_quoted_mount_names_its_image_without_the_quotes():
    text = 'FROM quay.io/a/b:1\nRUN --mount="type=bind,from=quay.io/c/d:2" true\n'
    assert bases(text, {}).all == ("quay.io/a/b:1", "quay.io/c/d:2")
