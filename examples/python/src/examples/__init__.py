"""How another module uses bootc-pipeline; each function is an example of the one that its name ends with."""

from datetime import UTC, datetime

import dagger
from dagger import dag, function, object_type

LABEL = "org.opencontainers.image"


@object_type
class Examples:
    """Examples of bootc-pipeline in Python."""

    @function(cache="never")
    async def bootc_pipeline_submit_next(
        self,
        source: dagger.Directory,
        registry_auth: dagger.Secret,
        registry: dagger.Service | None = None,
        base: str = "quay.io/centos-bootc/centos-bootc:stream10",
    ) -> str:
        """An image that this module builds itself goes through the gate as it is, and becomes next."""
        commit = await source.as_git().head().commit()
        image = (
            dag.container()
            .from_(base)
            .with_new_file("/usr/share/examples/note", "built by another module")
            .with_label(f"{LABEL}.revision", commit)
            .with_label(f"{LABEL}.source", "https://git.example.org/os")
            .with_label(f"{LABEL}.created", datetime.now(UTC).isoformat())
            .with_label(f"{LABEL}.version", commit[:12])
        )
        pipeline = dag.bootc_pipeline(source=source, registry_auth=registry_auth, registry=registry)
        return await pipeline.submit_next(container=[image])

    @function(cache="never")
    async def bootc_pipeline_results(
        self,
        source: dagger.Directory,
        registry_auth: dagger.Secret,
        tag: str,
        registry: dagger.Service | None = None,
    ) -> dagger.Directory:
        """A gate that fails is an answer, not an error: the report, whatever came of the promotion."""
        pipeline = dag.bootc_pipeline(source=source, registry_auth=registry_auth, registry=registry)
        return await pipeline.results().promote_testing(tag).report().sync()
