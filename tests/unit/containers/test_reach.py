"""How tool containers are told where they are, and which login is theirs."""

import pytest

from pipeline.containers.base import Reach


class Container:
    def __init__(self):
        self.files, self.variables = {}, {}

    def with_new_file(self, path, contents):
        self.files[path] = contents
        return self

    def with_env_variable(self, name, value):
        self.variables[name] = value
        return self


class Auth:
    async def plaintext(self):
        return '{"auths": {"r.example.org": {"auth": "dTpw"}}}'


def test_other_peoples_programs_find_the_mark_of_a_container():
    assert Reach().outside(Container()).files == {"/run/.containerenv": ""}


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("r.example.org/o/i:latest", "u"),
        ("R.Example.org/o/i:latest", "u"),
        ("other.example.org/o/i", None),
        ("bootc-image-builder:latest", None),
    ],
)
async def test_a_login_is_for_its_own_registry_and_a_bare_name_has_none(address, user):
    login = await Reach(registry_auth=Auth())._login(address)
    assert (login and login.username) == user
