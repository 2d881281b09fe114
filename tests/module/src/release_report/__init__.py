"""A module that depends on bootc-pipeline: what other modules do with its objects."""

import json

import dagger
from dagger import dag, function, object_type


@object_type
class ReleaseReport:
    """Builds an image through the pipeline and says what came of it."""

    @function(cache="never")
    async def build(self, source: dagger.Directory, registry: dagger.Service, auth: dagger.Secret, image: str) -> str:
        """Build the commit of `source`, and read the result field by field; a failed gate is an answer, too."""
        pipeline = dag.bootc_pipeline(source=source, registry=registry, registry_auth=auth)
        result = pipeline.results().build_next()
        candidate = pipeline.image(image).candidate("next")
        evidence = candidate.evidence()
        return json.dumps(
            {
                "outcome": await result.outcome(),
                "exit code": await result.exit_code(),
                "digest": await result.digest(),
                "moves": [await move.tag() for move in await result.moves()],
                "candidate": await candidate.digest(),
                "revision": await candidate.revision(),
                "evidence": await evidence.outcome(),
                "checks": [await check.name() for check in await evidence.checks()],
                "report": await evidence.files().entries(),
            }
        )

    @function(cache="never")
    async def gate(self, source: dagger.Directory, registry: dagger.Service, auth: dagger.Secret, tag: str) -> str:
        """The exit code of a command that does not pass, as its typed twin gives it and as its error does."""
        pipeline = dag.bootc_pipeline(source=source, registry=registry, registry_auth=auth)
        result = pipeline.results().promote_testing(tag)
        told = {"outcome": await result.outcome(), "exit code": await result.exit_code()}
        try:
            await pipeline.promote_testing(tag)
        except dagger.ExecError as error:
            told["error"] = error.exit_code
        return json.dumps(told)
