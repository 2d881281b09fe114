"""pipeline.toml: two lines are enough, and each wrong key is explained."""

import os
import subprocess
import sys

import pytest

from pipeline import config
from pipeline.containers.base import Reach
from pipeline.domain import Channel
from pipeline.errors import UsageError

REF = "ghcr.io/owner/os:stable"
FIRST_RUN = '[images.os]\nrepository = "ghcr.io/owner/os"\n'
WAIVED = FIRST_RUN + '[[waivers]]\n{what}\nmatch = "x"\nbug = "https://example.org/1"\nuntil = 2027-01-31\n'


def test_two_lines_are_enough():
    parsed = config.parse(FIRST_RUN)
    image = parsed.images["os"]
    assert (image.name, image.containerfile, image.platforms) == ("os", "Containerfile", ("linux/amd64",))
    assert image.update_reference == "ghcr.io/owner/os:stable"
    assert parsed.gates.testing.builder.image == config.BOOTC_IMAGE_BUILDER


def test_a_builder_is_told_which_machine_its_disk_is_for():
    builder = config.Builder(args=("--target-arch={arch}",))
    assert builder.arguments("linux/arm64", REF) == ["--target-arch=aarch64", "--output", "/output", REF]


@pytest.mark.parametrize(
    ("args", "called"),
    [
        (None, f"--type qcow2 --output /output {REF}"),
        ("build --type qcow2 --rootfs xfs", f"build --type qcow2 --rootfs xfs --output /output {REF}"),
        (
            "build qcow2 --bootc-ref {ref} --output-dir {output} --output-name disk",
            f"build qcow2 --bootc-ref {REF} --output-dir /output --output-name disk",
        ),
        (
            "bcvk to-disk --format qcow2 {ref} {output}/disk.qcow2",
            f"bcvk to-disk --format qcow2 {REF} /output/disk.qcow2",
        ),
        ("--image={ref} {{.Arch}}", f"--image={REF} {{{{.Arch}}}}"),
    ],
)
def test_every_disk_builder_can_be_called_as_it_wants(args, called):
    builder = config.Builder(args=tuple(args.split())) if args else config.Builder()
    assert builder.arguments("linux/amd64", REF) == called.split()


@pytest.mark.parametrize(
    ("written", "lint"),
    [
        ("true", config.Lint()),
        ("false", config.Lint(run=False)),
        (
            '{ fatal_warnings = false, skip = ["nonempty-boot"] }',
            config.Lint(fatal_warnings=False, skip=("nonempty-boot",)),
        ),
    ],
)
def test_lint_is_a_switch_or_a_table(written, lint):
    assert config.parse(FIRST_RUN + f"[gates.next]\nlint = {written}\n").gates.next.lint == lint


def test_numbers_are_build_arguments_as_a_shell_sees_them():
    parsed = config.parse(FIRST_RUN + "build_args = { HWE = 1, DEBUG = true }\nbuild = { args = { N = 2.5 } }\n")
    image = parsed.images["os"]
    assert (image.build_args, image.build.args) == ({"HWE": "1", "DEBUG": "true"}, {"N": "2.5"})


def test_durations_and_sizes_are_written_as_people_write_them():
    parsed = config.parse(FIRST_RUN + '[gates.testing]\nboot_budget = "1m30s"\nmemory = "768MiB"\n')
    assert (parsed.gates.testing.boot_budget, parsed.gates.testing.memory) == (90.0, 768 * 1024**2)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[images.os\n", ["pipeline.toml is not TOML"]),
        ("", ["images", "required"]),
        ("images = {}\n", ["images", "at least 1"]),
        ('[images.os]\nrepository = "os"\n', ["images.os.repository", "'os'", "ghcr.io/owner/image"]),
        ('[images.os]\nrepository = "ghcr.io/a/b:stable"\n', ["images.os.repository", "no tag"]),
        (FIRST_RUN + 'contianerfile = "x"\n', ["images.os.contianerfile", "not known", "containerfile"]),
        (FIRST_RUN + 'containerfile = "/etc/x"\n', ["images.os.containerfile", "inside the repository"]),
        (FIRST_RUN + 'target = "gnome"\n', ["images.os.target", "did you mean the one of [images.NAME.build]?"]),
        (FIRST_RUN + 'build = { args = { A = "{comit}" } }\n', ["images.os.build.args.A", "no {comit}", "{commit}"]),
        (FIRST_RUN + 'build = { secrets = ["a/b"] }\n', ["images.os.build.secrets.0", "'a/b'"]),
        (FIRST_RUN + 'build = { args_file = "/etc/args" }\n', ["images.os.build.args_file", "inside the repository"]),
        (FIRST_RUN + 'build = { contexts = { more = "../x" } }\n', ["images.os.build.contexts", "inside the repo"]),
        (FIRST_RUN + 'build = { options = ["squash"] }\n', ["images.os.build.options.0", "'squash'"]),
        (
            FIRST_RUN + 'build = { options = ["--tag=x"] }\n',
            ["images.os.build.options", "--tag is set by the pipeline"],
        ),
        (FIRST_RUN + 'build = { options = ["-fx"] }\n', ["images.os.build.options", "the key is containerfile"]),
        (
            FIRST_RUN + 'build = { labels = { "org.opencontainers.image.revision" = "x" } }\n',
            ["images.os.build.labels", "revision is set by the pipeline"],
        ),
        (FIRST_RUN + '[gates.testing]\nboot_budget = "90"\n', ["gates.testing.boot_budget", "'90'", "90s, 30m"]),
        (
            FIRST_RUN + "[gates.testing.budgets]\nsize_growth = 25\n",
            ["gates.testing.budgets.size_growth", "such as 25%"],
        ),
        (FIRST_RUN + '[gates.testing]\nfirmware = "efi"\n', ["gates.testing.firmware", "'efi'", "'uefi'"]),
        (FIRST_RUN + '[gates.testing]\nupgrade = "sometimes"\n', ["gates.testing.upgrade", "'sometimes'"]),
        (
            FIRST_RUN + '[gates.testing]\nallowed_skips = ["not-run"]\n',
            ["gates.testing.allowed_skips.0", "'not-run'", "'no-stable-disk'"],
        ),
        (FIRST_RUN + 'update_ref = "ghcr.io/owner/os"\n', ["images.os.update_ref", "ghcr.io/owner/image:stable"]),
        (FIRST_RUN + '[gates.testing.builder]\nimge = "x"\n', ["gates.testing.builder.imge", "image, args"]),
        (
            FIRST_RUN + '[gates.testing.builder]\nargs = ["--ref={image}"]\n',
            ["gates.testing.builder.args", "{image} is no placeholder", "{ref}, {output}, {arch}"],
        ),
        (
            FIRST_RUN + '[gates.testing.builder]\nneeds = ["fedora"]\n',
            ["gates.testing.builder.needs.0", "'fedora'", "with tag or digest"],
        ),
        (FIRST_RUN + '[gates.testing.builder]\nconfig = "disk"\n', ["gates.testing.builder.config", ".toml or .json"]),
        (FIRST_RUN + '[gates.next]\nlint = "no"\n', ["gates.next.lint", "'no'"]),
        (FIRST_RUN + "[gates.next]\nlint = { skips = [] }\n", ["gates.next.lint.skips", "fatal_warnings, skip"]),
        (FIRST_RUN + '[gates.stable]\nopenqa = {url = "ftp://x"}\n', ["gates.stable.openqa.url", "'ftp://x'"]),
        (
            FIRST_RUN + '[gates.stable]\nopenqa = {url = "http://x", settings = {BUILD = "1"}}\n',
            ["gates.stable.openqa.settings", "BUILD is set by the pipeline"],
        ),
        (WAIVED.format(what='check = "unitz"'), ["waivers.0.check", "'unitz'", "did you mean units?"]),
        (WAIVED.format(what='check = "empty-boot"'), ["did you mean layout/empty-boot?"]),
        (WAIVED.format(what='check = "x86_64/journal"'), ["did you mean journal?"]),
        (WAIVED.format(what='check = "openqa: boot@uefi"'), ["waivers.0.check", "expected job and module instead"]),
        (WAIVED.format(what='check = "units"\ngate = "stable"'), ["waivers.0.gate", "'testing', the gate that makes"]),
        (WAIVED.format(what='check = "units"\ngate = "tesing"'), ["waivers.0.gate", "did you mean testing?"]),
        (FIRST_RUN + '[[waivers]]\ncheck = "units"\nmatch = "x"\nbug = ""\nuntil = 2027-01-31\n', ["waivers.0.bug"]),
        (FIRST_RUN + '[[waivers]]\ncheck = "units"\nmatch = "("\nbug = "b"\nuntil = 2027-01-31\n', ["waivers.0.match"]),
        (FIRST_RUN + '[images.two]\nrepository = "ghcr.io/owner/os"\n', ["share the repository"]),
        (FIRST_RUN + "x = " + "[" * 50_000, ["pipeline.toml is not TOML"]),
        (FIRST_RUN + "[retention]\nkeep_last = " + "9" * 5000, ["pipeline.toml is not TOML"]),
        (FIRST_RUN + "[retention]\nkeep_last = true", ["retention.keep_last", "valid integer"]),
        (FIRST_RUN + "[retention]\nmax_percent = nan", ["retention.max_percent", "nan"]),
        (FIRST_RUN + '[retention]\nolder_than = "200000000w"', ["retention.older_than"]),
        (FIRST_RUN + '[retention]\nkeep_tags = ["^v1.*$"]', ["retention.keep_tags.0", "no regular expression"]),
        (FIRST_RUN + 'platforms = ["linux/amd64\\n"]', ["images.os.platforms.0"]),
        (FIRST_RUN + 'containerfile = ""', ["images.os.containerfile", "leave the key out"]),
        (FIRST_RUN + 'containerfile = "a\\u0000b"', ["images.os.containerfile"]),
        (FIRST_RUN + 'build_args = { "A=B" = "c" }', ["images.os.build_args", "'A=B' is no name"]),
        (FIRST_RUN + f"aliases = {{ stable = ['{'{version}' * 7}'] }}", ["images.os", "128 characters of a tag"]),
        (FIRST_RUN.replace("os", "o" * 200, 1), ["100 characters at most"]),
        (FIRST_RUN + '[gates.next]\ntests = ""', ["gates.next.tests", "leave the key out"]),
        (FIRST_RUN + '[gates.testing]\ntimeout = "0s"', ["gates.testing.timeout", "greater than 0"]),
        (FIRST_RUN + '[gates.testing]\nmemory = "1B"', ["gates.testing.memory"]),
        (FIRST_RUN + "[gates.testing]\ncpus = true", ["gates.testing.cpus", "valid integer"]),
        (FIRST_RUN + '[gates.testing]\nlisten = ["tcp/99999"]', ["gates.testing.listen.0", "a port from 1 to 65535"]),
        (FIRST_RUN + '[gates.testing]\nlisten = ["tcp/\N{ARABIC-INDIC DIGIT TWO}"]', ["gates.testing.listen.0"]),
        (FIRST_RUN + '[gates.testing]\nnetwork = ["a.example.org:99999"]', ["gates.testing.network"]),
        (FIRST_RUN + '[gates.testing]\nservices = ["--all"]', ["gates.testing.services.0"]),
        (
            FIRST_RUN + '[gates.testing]\nunbooted = { "linux/amd64" = "no time" }',
            ["no platform that the testing gate boots"],
        ),
        (FIRST_RUN + '[gates.stable]\nopenqa = {url = "https://?x"}', ["gates.stable.openqa.url", "a host"]),
        (FIRST_RUN + '[gates.stable]\nopenqa = {url = "https://h/a\\nb"}', ["gates.stable.openqa.url"]),
        (
            FIRST_RUN + '[gates.stable]\nopenqa = {url = "http://x", arch = {"linux/amd46" = "x"}}',
            ["gates.stable.openqa.arch", "did you mean linux/amd64?"],
        ),
        (FIRST_RUN + '[gates.stable]\nopenqa = {url = "http://x", test = " "}', ["gates.stable.openqa.test", "blank"]),
        ('plain_http = ["http://localhost:5000"]\n' + FIRST_RUN, ["plain_http.0", "without http://"]),
        ('plain_http = ["localhost:5000/os"]\n' + FIRST_RUN, ["plain_http.0", "HOST:PORT"]),
        ('main_branch = "refs/heads/main"\n' + FIRST_RUN, ["main_branch.0", "its short name"]),
        ('[defaults]\nrepositry = "x"\n' + FIRST_RUN, ["defaults.repositry", "did you mean repository?"]),
        (FIRST_RUN + "[trust]\n", ["trust", "expected signers"]),
        (FIRST_RUN + '[trust]\nstable = { key = "a" }\nrekor = "https://r"', ["trust", "with trusted_root only"]),
        (FIRST_RUN + '[trust]\nstable = { issuer = "https://i", identity = "**" }', ["trust.stable.0.identity"]),
        (WAIVED.format(what='check = "units"').replace("2027-01-31", "20270131"), ["waivers.0.until", "a day such as"]),
        (WAIVED.format(what='check = "units"').replace("2027-01-31", "86400"), ["waivers.0.until", "a day such as"]),
        (WAIVED.format(what='check = "units"').replace('"x"', f'"{"(" * 5000}{")" * 5000}"'), ["waivers.0.match"]),
        (WAIVED.format(what='check = "units"').replace('"x"', '"a{99999999999}"'), ["waivers.0.match"]),
    ],
)
def test_a_wrong_file_names_key_finding_and_what_is_allowed(text, parts):
    with pytest.raises(UsageError) as caught:
        config.parse(text)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ('contianerfile = "x"\n', "did you mean containerfile?"),
        ('firmware = "bios"\n', "did you mean the one of [gates.testing]?"),
        ("keep_last = 3\n", "did you mean the one of [retention]?"),
        ('main_branch = "master"\n', "did you mean the one of the top level?"),
        ("[gates.testing]\nexpect_jobs = 2\n", "did you mean the one of [gates.stable.openqa]?"),
        ('[gates.next]\ncontainerfile = "x"\n', "did you mean the one of [images.NAME]?"),
    ],
)
def test_a_key_in_the_wrong_table_is_told_where_it_belongs(wrong, meant):
    with pytest.raises(UsageError) as caught:
        config.parse(FIRST_RUN + wrong)
    assert meant in str(caught.value)


def test_every_wrong_key_has_its_own_line():
    with pytest.raises(UsageError) as caught:
        config.parse(FIRST_RUN + "x = 1\n[retention]\nrollback_targets = 0\n")
    assert len(str(caught.value).splitlines()) == 2


def test_capitals_in_a_host_say_nothing():
    text = 'plain_http = ["Localhost:5000"]\n[images.os]\nrepository = "LOCALHOST:5000/owner/os"\n'
    text += 'update_ref = "GHCR.io/owner/os:Stable"\n[gates.testing.builder]\nneeds = ["Quay.io/a/b:Latest"]\n'
    parsed = config.parse(text)
    image = parsed.images["os"]
    assert image.repository.host in parsed.plain_http
    assert Reach(plain_http=parsed.plain_http).is_plain(image.repository)
    assert image.update_reference == "ghcr.io/owner/os:Stable"
    assert parsed.gates.testing.builder.needs == ("quay.io/a/b:Latest",)
    with pytest.raises(UsageError, match="share the repository"):
        config.parse(FIRST_RUN + FIRST_RUN.replace("images.os", "images.other").replace("ghcr.io", "GHCR.io"))


def test_releases_may_live_in_a_repository_of_their_own():
    image = config.parse(FIRST_RUN + 'stable_repository = "ghcr.io/o/releases"\n').images["os"]
    assert image.update_reference == "ghcr.io/o/releases:stable"
    assert image.home(Channel.TESTING) == image.repository


def test_two_images_do_not_share_a_repository_for_their_releases():
    other = FIRST_RUN.replace("[images.os]", "[images.other]").replace("/os", "/other")
    apart = 'stable_repository = "ghcr.io/o/releases"\n'
    with pytest.raises(UsageError, match=r"share the repository ghcr\.io/o/releases"):
        config.parse(FIRST_RUN + apart + other + apart)


def test_an_unknown_image_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match="no image yellow; it has os"):
        config.parse(FIRST_RUN).selected(["yellow"])


def test_a_waiver_belongs_to_the_gate_that_makes_its_check():
    one, other = config.parse(FIRST_RUN), config.parse(WAIVED.format(what='check = "layout/empty-boot"'))
    changed = [gate for gate in Channel if one.gate_version(gate) != other.gate_version(gate)]
    assert changed == [Channel.NEXT]
    openqa = config.parse(WAIVED.format(what='module = "shutdown"'))
    assert [gate for gate in Channel if openqa.waivers_in(gate)] == [Channel.STABLE]


@pytest.mark.parametrize("check", ["unit/10-greets", "user/test_ssh.py::test_port"])
def test_a_waiver_may_name_a_test_of_the_repository(check):
    assert config.parse(WAIVED.format(what=f'check = "{check}"')).waivers[0].check == check


def test_a_gate_that_asks_for_something_else_has_another_version():
    one = config.parse(FIRST_RUN)
    other = config.parse(FIRST_RUN + '[gates.testing]\nservices = ["sshd.service", "chronyd.service"]\n')
    assert one.gate_version(Channel.TESTING) != other.gate_version(Channel.TESTING)
    assert one.gate_version(Channel.NEXT) == other.gate_version(Channel.NEXT)


def test_the_gate_version_is_the_same_in_every_process():
    program = "from pipeline import config; from pipeline.domain import Channel; "
    program += f"print(config.parse({FIRST_RUN!r}).gate_version(Channel.TESTING))"
    versions = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(versions) == 1


@pytest.mark.parametrize(
    "lines",
    [
        '[gates.stable]\nopenqa = { url = "https://u:CANARY@openqa.example.org" }',
        '[gates.stable]\nopenqa = { url = "https://u:CANARY/x@openqa.example.org" }',
        '[gates.stable]\nupload = { url = "https://u:CANARY@dav.example.org/c", public_url = "https://i.example.org" }',
        '[gates.stable]\nupload = { url = "s3://b/c", public_url = "https://u:CANARY@i.example.org" }',
        '[gates.stable]\nupload = { url = "s3://b", public_url = "https://i", endpoint = "https://CANARY@s3" }',
        '[gates.stable]\nopenqa = { url = "https://o.example.org/?token=CANARY" }',
        '[gates.stable]\nopenqa = { url = "https://o", settings = { REPO_URL = "https://u:CANARY@r.example.org" } }',
        'build = { contexts = { more = "https://CANARY@r.example.org/x.tar" } }',
        'build_args = { INDEX = "http://u:CANARY@pypi.example.org/simple" }',
        '[gates.testing]\nbuilder = { args = ["--proxy", "socks5://u:CANARY@proxy.example.org"] }',
    ],
)
def test_a_login_in_an_address_is_refused_and_not_repeated(lines: str) -> None:
    with pytest.raises(UsageError) as refused:
        config.parse(f'[images.os]\nrepository = "r.test/os"\n{lines}\n')
    assert "CANARY" not in str(refused.value)


def test_a_digest_in_an_address_is_no_login() -> None:
    context = f"docker-image://localhost:5000@sha256:{'a' * 64}"
    found = config.parse(FIRST_RUN + f'build = {{ contexts = {{ a = "{context}", b = "ssh://git@h/x.git" }} }}\n')
    assert found.images["os"].build.contexts["a"] == context


def test_a_login_in_a_repository_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        config.parse('[images.os]\nrepository = "me:CANARY@r.test/os"\n')
    assert "CANARY" not in str(refused.value)


@pytest.mark.parametrize(
    "repository",
    [
        *("ghcr.io:\N{ARABIC-INDIC DIGIT FIVE}/a", "ghcr.io:99999/a", "ghcr.io:0/a", "..:1/a", "-x.y/a"),
        *("ghcr.io/a//b", "ghcr.io/a..b", "ghcr.io/a___b", "ghcr.io/a\\n", f"ghcr.io/{'a' * 300}"),
    ],
)
def test_a_repository_that_no_registry_has_is_refused_when_the_file_is_read(repository: str) -> None:
    with pytest.raises(UsageError, match=r"images\.os\.repository.*such as ghcr\.io/owner/image"):
        config.parse(f'[images.os]\nrepository = "{repository}"\n')


@pytest.mark.parametrize(
    "repository", ["localhost/a", "registry:5500/a/b-c/d__e", "127.0.0.1:5000/a", "a-b.example/x.y"]
)
def test_a_repository_that_a_registry_may_have_is_taken(repository: str) -> None:
    assert str(config.parse(f'[images.os]\nrepository = "{repository}"\n').images["os"].repository) == repository


def test_a_platform_has_one_spelling() -> None:
    found = config.parse('[images.os]\nrepository = "r.test/os"\nplatforms = ["linux/amd64/v1", "linux/arm64/v8"]\n')
    assert found.images["os"].platforms == ("linux/amd64", "linux/arm64")
    with pytest.raises(UsageError, match="each platform once"):
        config.parse('[images.os]\nrepository = "r.test/os"\nplatforms = ["linux/arm64", "linux/arm64/v8"]\n')


def test_trust_names_one_signer_or_several():
    trust = config.parse_trust(
        '[trust]\nnext = { key = "a.pub" }\nstable = [{ key = "b.pub" }, { key = "c.pub" }]\n', "main"
    )
    assert trust is not None
    assert {name: [one.key for one in those] for name, those in trust.signers().items()} == {
        "next": ["a.pub"],
        "stable": ["b.pub", "c.pub"],
    }
    assert config.parse_trust("[images]\nnonsense = 1\n", "main") is None


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("next = []", "trust.next"),
        ('next = { key = "/etc/a.pub" }', "trust.next.0.key"),
        ('next = { file = "a.pub" }', "trust.next.0"),
        ('prod = { key = "a.pub" }', "trust.prod"),
        ('cosign = "cosign"', "trust.cosign"),
    ],
)
def test_trust_of_another_form_is_refused_by_its_key(table: str, key: str):
    with pytest.raises(UsageError, match=f"pipeline.toml of main: {key}"):
        config.parse_trust(f"[trust]\n{table}\n", "pipeline.toml of main")
    with pytest.raises(UsageError, match=key):
        config.parse(f'[images.os]\nrepository = "ghcr.io/o/os"\n[trust]\n{table}\n')
