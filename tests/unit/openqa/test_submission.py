import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import Digest
from pipeline.errors import UsageError
from pipeline.openqa.submission import (
    DISK,
    RUN,
    SUITE,
    Answer,
    Order,
    build_id,
    client_conf,
    parse_answer,
    parse_product,
    schedule_arguments,
    unknown_placeholders,
)
from pipeline.openqa.verdict import Expectation, State, judge_answer
from pipeline.policy.template import filled

Cli = Callable[[str], tuple[str, int, str]]


def test_build_holds_version_and_digest() -> None:
    assert build_id("1.2.3", Digest("sha256:" + "0123456789ab" + "f" * 52)) == "1.2.3-0123456789ab"


def test_the_command_line_submits_everything_and_no_secret(order: Order) -> None:
    arguments = schedule_arguments("http://openqa:9526", "/in/scenarios.yaml", order.settings)
    assert arguments[:4] == ["openqa-cli", "schedule", "--host", "http://openqa:9526"]
    assert arguments[4:6] == ["--param-file", "SCENARIO_DEFINITIONS_YAML=/in/scenarios.yaml"]
    assert {"DISTRI=bootcut", "VERSION=1", "FLAVOR=qcow2", "ARCH=x86_64"} < set(arguments)
    assert "BUILD=1.2.3-abababababab" in arguments
    assert f"HDD_1_URL={order.disk_url}" in arguments
    assert "HDD_1=os-1.2.3-x86_64-abababababab.qcow2" in arguments
    assert not {"--monitor", "--apikey", "--apisecret"} & set(arguments)


def test_without_scenario_definitions_the_servers_templates_decide(order: Order) -> None:
    assert "--param-file" not in schedule_arguments("http://openqa", None, order.settings)


def test_the_disks_name_must_tell_digests_apart(order: Order) -> None:
    with pytest.raises(UsageError, match="abababababab"):
        replace(order, disk_url="https://images.example.org/latest.qcow2")


@pytest.mark.parametrize(
    "name",
    [
        *("BUILD", "+BUILD", "HDD_1", "HDD_1_URL", "+HDD_1_URL", "HDD_1_DECOMPRESS_URL", "TEST", SUITE, RUN, DISK),
        *("_SECRET_TOKEN", "lower", "A B", "A=B", "", "SCENARIO_DEFINITIONS_YAML"),
    ],
)
def test_settings_of_the_users_own_cannot_replace_ours_or_carry_secrets(order: Order, name: str) -> None:
    with pytest.raises(UsageError) as error:
        replace(order, extra={name: "x"})
    assert name in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["_GROUP", "_GROUP_ID", "GROUP_ID", "_PRIORITY", "_OBSOLETE", "+QEMURAM", "HDD_2", "HDD_2_URL", "ISO", "QEMU-X"],
)
def test_everything_else_that_openqa_takes_is_the_users(order: Order, name: str) -> None:
    assert replace(order, extra={name: "x"}).settings[name] == "x"


@pytest.mark.parametrize("asset", ["HDD_1", "HDD_2", "ISO", "ISO_1", "ASSET_1"])
def test_the_disk_goes_out_as_the_asset_that_is_configured(order: Order, asset: str) -> None:
    settings = replace(order, asset=asset).settings
    assert settings[asset] == order.disk
    assert settings[f"{asset}_URL"] == order.disk_url
    assert {name for name in settings if name.startswith(("HDD", "ISO", "ASSET"))} == {asset, f"{asset}_URL"}
    with pytest.raises(UsageError, match=f"{asset}_URL"):
        replace(order, asset=asset, extra={f"{asset}_URL": "x"})


@pytest.mark.parametrize("asset", ["REPO_1", "hdd_1", "HDD", "BUILD", "HDD_1_URL"])
def test_what_is_no_asset_is_refused(order: Order, asset: str) -> None:
    with pytest.raises(UsageError, match=asset):
        replace(order, asset=asset)


def test_another_disk_of_the_same_image_is_another_order(order: Order) -> None:
    other = replace(order, disk_sha256=Digest("sha256:" + "ef" * 32))
    assert other.settings[DISK] == "ef" * 32
    assert Expectation.of(other) != Expectation.of(order)


def test_templates_are_filled_and_other_braces_left_alone() -> None:
    assert (
        filled("v{version} {disk_name} {{x}} {Y} {", {"version": "1.2.3", "disk_name": "d"}) == "v1.2.3 d {{x}} {Y} {"
    )
    assert unknown_placeholders("{version} {verison} {Y}") == ["verison"]


@pytest.mark.parametrize(
    "said",
    [
        '{"ids": "123"}',
        '{"ids": {"1": 2}}',
        '{"ids": [true]}',
        '{"ids": ["1"]}',
        '{"ids": [null]}',
        '{"ids": [-1]}',
        '{"ids": [1], "error_status": [1]}',
        '{"ids": [1], "scheduled_product_id": "x"}',
        '{"ids": [1], "failed": "no"}',
        '{"ids": ' + "[" * 100000,
        '{"ids": [' + "9" * 5000 + "]}",
    ],
)
def test_an_odd_answer_is_never_a_run(expected: Expectation, said: str) -> None:
    assert judge_answer(parse_answer(said, 0), expected) is not None


def test_a_long_refusal_is_cut() -> None:
    answer = parse_answer(json.dumps({"error": "x" * 10**6, "ids": [], "failed": ["y" * 10**6]}), 1)
    assert len(answer.error) + len(answer.failed[0]) <= 1000


def test_another_suite_has_another_fingerprint(order: Order) -> None:
    suites = {
        order.suite,
        replace(order, scenarios="products: {a: 1}").suite,
        replace(order, extra={"QEMURAM": "2048"}).suite,
        replace(order, test="smoke").suite,
    }
    assert len(suites) == 4
    assert order.suite == replace(order, digest=Digest("sha256:" + "ab" * 32)).suite


@pytest.mark.parametrize(
    ("host", "section"),
    [
        ("http://openqa:9526", "openqa"),
        ("https://openqa.example.org", "openqa.example.org"),
        ("https://openqa.example.org/qa", "openqa.example.org"),
    ],
)
def test_client_conf_names_the_host_as_openqa_cli_looks_it_up(host: str, section: str) -> None:
    assert client_conf(host, "K", "S") == f"[{section}]\nkey = K\nsecret = S\n"


@pytest.mark.parametrize(
    ("capture", "ids"),
    [
        ("passed", (39,)),
        ("failed", (41,)),
        ("softfailed", (40,)),
        ("incomplete", (42,)),
        ("timeout", (43,)),
        ("retry-then-failed", (44,)),
        ("zero-jobs", ()),
        ("no-product", ()),
        ("bad-secret", ()),
        ("missing-params", ()),
        ("unreachable", ()),
    ],
)
def test_recorded_outputs_of_openqa_cli_are_understood(
    cli: Cli, expected: Expectation, capture: str, ids: tuple[int, ...]
) -> None:
    stdout, _, stderr = cli(capture)
    # without --monitor the exit code is 0 whenever jobs were created
    answer = parse_answer(stdout, 0 if ids else cli(capture)[1], stderr)
    assert answer.ids == ids
    fault = judge_answer(answer, expected)
    assert (fault is None) == bool(ids)


@pytest.mark.parametrize(
    ("capture", "state", "words"),
    [
        ("zero-jobs", State.INVALID, "created no job"),
        ("no-product", State.INVALID, "no products found"),
        ("bad-secret", State.INVALID, "wrong secret"),
        ("missing-params", State.INVALID, "VERSION FLAVOR ARCH"),
        ("unreachable", State.BROKEN, "Connection refused"),
    ],
)
def test_a_refusal_is_told_from_an_outage(
    cli: Cli, expected: Expectation, capture: str, state: State, words: str
) -> None:
    fault = judge_answer(parse_answer(*cli(capture)), expected)
    assert fault is not None
    assert fault.state is state
    assert words in fault.reason


def test_a_host_outside_download_domains_is_named(expected: Expectation) -> None:
    said = "Asset download requested from non-passlisted host example.com."
    fault = judge_answer(parse_answer(said, 1, "\x1b[31m403 Forbidden\n\x1b[0m"), expected)
    assert fault is not None
    assert fault.state is State.INVALID
    assert "download_domains" in fault.reason


def test_a_gateways_web_page_is_an_outage(expected: Expectation) -> None:
    answer = parse_answer("<html>Bad Gateway</html>", 1, "502 Bad Gateway")
    assert answer.status == 502
    fault = judge_answer(answer, expected)
    assert fault is not None
    assert fault.state is State.BROKEN


def test_failed_is_an_object_when_there_is_no_product() -> None:
    assert parse_answer('{"count":0,"failed":{},"ids":[],"scheduled_product_id":45}', 0).failed == ()


def test_a_recorded_run_that_was_created_in_part_is_no_run(
    cli: Callable[[str], tuple[str, int, str]], expected: Expectation
) -> None:
    answer = parse_answer(*cli("partial"))
    assert answer.ids
    fault = judge_answer(answer, expected)
    assert fault is not None
    assert "START_AFTER_TEST=nobody@null not found" in fault.reason


def test_partly_created_jobs_are_reported() -> None:
    answer = parse_answer('{"count":1,"failed":[{"error_messages":["no asset"],"job_id":2}],"ids":[1]}', 0)
    assert answer.ids == (1,)
    assert "no asset" in answer.failed[0]


def test_an_answer_before_the_jobs_are_made_is_no_run(capture: Callable[[str], Any], expected: Expectation) -> None:
    answer = parse_answer(json.dumps(capture("async.post")["response"]["json"]), 0)
    assert answer == Answer(scheduled_product=30, pending=True)
    assert judge_answer(answer, expected) is not None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("async.iso-added", Answer(scheduled_product=30, pending=True)),
        ("async.iso-scheduling", Answer(scheduled_product=30, pending=True)),
        ("async.iso-scheduled", Answer(ids=(25,), scheduled_product=30)),
    ],
)
def test_a_submission_in_the_background_is_followed(capture: Callable[[str], Any], name: str, found: Answer) -> None:
    assert parse_product(30, capture(name)["response"]["json"]) == found


def test_an_error_in_the_background_is_found_although_it_says_scheduled(capture: Callable[[str], Any]) -> None:
    answer = parse_product(31, capture("async-error.iso")["response"]["json"])
    assert "Unable to load YAML" in answer.error
    assert (answer.ids, answer.status) == ((), 400)


ODD = [None, [], {}, "1", 1, -1, True, [None], ["1"], [0], [[1]], {"a": 1}, "cancelled", 10**400, "\x1b"]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:9])
@pytest.mark.parametrize(
    "place", ["status", "results", "job_ids", "successful_job_ids", "failed_job_info", "error", "error_code"]
)
def test_whatever_is_odd_about_the_jobs_that_were_made_is_no_good_answer(
    capture: Callable[[str], Any], expected: Expectation, place: str, odd: object
) -> None:
    said = copy.deepcopy(capture("async.iso-scheduled")["response"]["json"])
    (said if place in said else said["results"])[place] = odd
    answer = parse_product(30, said)
    if odd or place not in ("failed_job_info", "error", "error_code"):  # where nothing means that all is well
        assert answer.pending or judge_answer(answer, expected) is not None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_scheduled_product_is_an_answer(said: object) -> None:
    parse_product(1, {"status": "scheduled", "job_ids": said, "results": said})
    parse_product(1, {"status": "scheduled", "job_ids": [1], "results": {"successful_job_ids": [1], "error": said}})


def test_ids_with_a_bad_exit_code_are_not_trusted() -> None:
    assert parse_answer('{"count":1,"failed":[],"ids":[1]}', 1, "broken pipe").error


@given(st.text(), st.integers(0, 255), st.text())
def test_any_output_gives_an_answer_and_never_a_silent_success(stdout: str, code: int, stderr: str) -> None:
    answer = parse_answer(stdout, code, stderr)
    assert isinstance(answer, Answer)
    if not answer.ids:
        assert judge_answer(answer, Expectation("b", "d", "s", "f" * 64)) is not None
