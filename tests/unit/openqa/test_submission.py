from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import Digest
from pipeline.errors import UsageError
from pipeline.openqa.submission import SUITE, Answer, Order, build_id, client_conf, parse_answer, schedule_arguments
from pipeline.openqa.verdict import Expectation, State, judge_answer

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
    "name", ["BUILD", "HDD_1_URL", SUITE, "_SECRET_TOKEN", "lower", "A-B", "SCENARIO_DEFINITIONS_YAML"]
)
def test_settings_of_the_users_own_cannot_replace_ours_or_carry_secrets(order: Order, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        replace(order, extra={name: "x"})


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


def test_partly_created_jobs_are_reported() -> None:
    answer = parse_answer('{"count":1,"failed":[{"error_messages":["no asset"],"job_id":2}],"ids":[1]}', 0)
    assert answer.ids == (1,)
    assert "no asset" in answer.failed[0]


def test_an_asynchronous_answer_is_not_mistaken_for_jobs() -> None:
    answer = parse_answer('{"gru_task_id":31,"minion_job_id":31,"scheduled_product_id":30}', 0)
    assert answer.error
    assert answer.scheduled_product == 30


def test_ids_with_a_bad_exit_code_are_not_trusted() -> None:
    assert parse_answer('{"count":1,"failed":[],"ids":[1]}', 1, "broken pipe").error


@given(st.text(), st.integers(0, 255), st.text())
def test_any_output_gives_an_answer_and_never_a_silent_success(stdout: str, code: int, stderr: str) -> None:
    answer = parse_answer(stdout, code, stderr)
    assert isinstance(answer, Answer)
    if not answer.ids:
        assert judge_answer(answer, Expectation("b", "d", "s")) is not None
