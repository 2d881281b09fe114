"""A module that depends on bootc-pipeline: what other modules do with its objects.

`dagger develop` writes bindings with which this is `dag.bootc_pipeline(…).results().build_next().outcome()`; the engine
of the lab makes none for what a module depends on, so the questions are asked in GraphQL, which every SDK speaks.
"""

import json
from typing import Any

import dagger
from dagger import dag, function, object_type
from gql import gql
from gql.transport.exceptions import TransportQueryError

BUILD = """
    results { buildNext { outcome exitCode digest commit moves { tag } checks { name status } } }
"""
LOOK = """
    image(name: "%s") { candidate(ref: "next") { digest revision evidence { outcome gate files { entries } } } }
"""
PROMOTE = """
    results { promoteTesting(tag: "%s") { outcome exitCode } }
"""
FAIL = """
    promoteTesting(tag: "%s")
"""


@object_type
class ReleaseReport:
    """Builds an image through the pipeline and says what came of it."""

    @function(cache="never")
    async def build(self, source: dagger.Directory, registry: dagger.Service, auth: dagger.Secret, image: str) -> str:
        """Build the commit of `source`, and read the result field by field; a failed gate is an answer, too."""
        built = await _asked(source, registry, auth, BUILD)
        found = await _asked(source, registry, auth, LOOK % image)
        return json.dumps(built["results"]["buildNext"] | {"candidate": found["image"]["candidate"]})

    @function(cache="never")
    async def gate(self, source: dagger.Directory, registry: dagger.Service, auth: dagger.Secret, tag: str) -> str:
        """What does not pass, as its twin answers it and as the error of the command does."""
        told = await _asked(source, registry, auth, PROMOTE % tag)
        try:
            await _asked(source, registry, auth, FAIL % tag)
        except TransportQueryError as error:  # dagger.ExecError, with bindings
            (said,) = error.errors
            return json.dumps(told["results"]["promoteTesting"] | {"error": said["extensions"]["exitCode"]})
        return json.dumps(told)


async def _asked(
    source: dagger.Directory, registry: dagger.Service, auth: dagger.Secret, question: str
) -> dict[str, Any]:
    given = {"source": await source.id(), "registry": await registry.id(), "registryAuth": await auth.id()}
    arguments = ", ".join(f"{name}: {json.dumps(str(value))}" for name, value in given.items())
    answer = await dag._ctx.conn.session.execute(gql(f"{{ bootcPipeline({arguments}) {{ {question} }} }}"))
    return answer["bootcPipeline"]
