"""The box itself."""

from collections.abc import Sequence

import anyio
import dagger

from pipeline.lab import images, openqa, registry, store
from pipeline.lab.gateway import gateway


async def lab(
    files: dagger.Directory, name: str, key: str, full: bool = True, suites: Sequence[str] = (images.OLD,)
) -> dagger.Service:
    """Start registry:5500, store:7500 and openqa:9526 behind one service that forwards to them over SSH (`gateway`).

    The registry holds the images that a build in the lab starts from (`images`) before this returns.

    Args:
        files: what the lab's images hold (`lab_files`).
        name: labs of the same name share the images in their registry; everything else starts empty.
        key: public key that opens the gateway.
        full: False leaves out the object store and openQA, which only the stable stage needs.
        suites: of Debian, of which the registry gets a tiny OS.
    """
    registry_service = registry.registry(files, name)
    servers = {"registry": registry_service}
    async with anyio.create_task_group() as making:
        making.start_soon(images.seed, files, registry_service, suites)
        if full:
            store_service = store.store(files)
            openqa_service = openqa.openqa(files, {"store": store_service})
            servers |= {"store": store_service, "openqa": openqa_service}
            making.start_soon(store.versitygw().sync)
            making.start_soon(openqa.machine(files).sync)
    return gateway(files, servers, key)
