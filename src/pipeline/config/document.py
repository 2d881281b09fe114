"""pipeline.toml as a whole: its images in their order, and what each gate asks of them."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import combinations
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema, field_validator, model_validator

from pipeline.config.gates import GATE_NUMBERS, Gates, KnownFinding
from pipeline.config.image import Image
from pipeline.config.notify import Notify
from pipeline.config.trust import Trust
from pipeline.config.words import Branches, RegistryHost, Table
from pipeline.domain import Channel, Repository, Tag
from pipeline.errors import UsageError
from pipeline.policy import fleet, platforms
from pipeline.policy.names import Kind, common
from pipeline.policy.platforms import BOOTABLE
from pipeline.policy.retention.rules import Rules
from pipeline.policy.waivers import Waiver
from pipeline.quantities import Age
from pipeline.registry.artifacts import looks_promoted

FILE = "pipeline.toml"


class StaleAfter(Table):
    """`[stale_after]`: how old a channel's image may be before `verify` calls it stale; any age when absent."""

    next: Age | None = None
    """Since the image of `:next` was built."""
    testing: Age | None = None
    """Since the image of `:testing` was built."""
    stable: Age | None = None
    """Since the image of `:stable` was built."""


class Config(Table):
    """The whole file."""

    images: dict[str, Image] = Field(min_length=1)
    """One table for each OS image; they are released together."""
    defaults: Annotated[
        dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": {"title": "value"}})
    ] = {}
    """What the tables of all images share: the keys of [images.NAME]; `{name}` becomes the image's NAME."""
    main_branch: Branches = ("main",)
    """Only commits on one of these are pushed; a name may be a pattern, such as `release/*`."""
    plain_http: tuple[RegistryHost, ...] = ()
    """Registry hosts (with port) that are spoken to without TLS."""
    gates: Gates = Gates()
    """What must hold before a channel moves."""
    waivers: tuple[KnownFinding, ...] = ()
    """Known findings that may ship for a while."""
    retention: Rules = Rules()
    """What `prune` may delete."""
    stale_after: StaleAfter = StaleAfter()
    """When a channel counts as stale."""
    notify: Notify = Notify()
    """Who is told of what, when `--notify` names addresses."""
    trust: Trust | None = None
    """Whose signatures count: read from the main branch; what this file says of it elsewhere decides nothing."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, document: Any) -> Any:
        images, shared = (document.get(key, {}) for key in ("images", "defaults")) if document else ({}, {})
        if not isinstance(images, dict) or not isinstance(shared, dict):
            return document
        whole = {
            name: fleet.with_defaults(table, shared, name) | {"name": name} if isinstance(table, dict) else table
            for name, table in images.items()
        }
        return document | {"images": whole} if "images" in document else document

    @field_validator("defaults")
    @classmethod
    def _keys_of_an_image(cls, value: dict[str, Any]) -> dict[str, Any]:
        allowed = [key for key in Image.model_fields if key != "name"]
        if unknown := [key for key in value if key not in allowed]:
            close = get_close_matches(unknown[0], allowed, n=1)
            meant = f"; did you mean {close[0]}?" if close else f"; allowed here: {', '.join(allowed)}"
            raise ValueError(f"{unknown[0]} is no key of an image{meant}")
        return value

    @field_validator("images")
    @classmethod
    def _there_is_an_order(cls, value: dict[str, Image]) -> dict[str, Image]:
        for image in value.values():
            if missing := [name for name in image.needs if name not in value]:
                raise ValueError(f"{image.name} needs {missing[0]}, which is no image of this file")
        fleet.waves({image.name: image.needs for image in value.values()})
        return value

    @field_validator("images")
    @classmethod
    def _every_tag_is_of_one_image(cls, value: dict[str, Image]) -> dict[str, Image]:
        sharing = defaultdict[Repository, list[Image]](list)
        for image in value.values():
            for repository in image.homes:
                sharing[repository].append(image)
        for repository, images in sharing.items():
            for one, other in combinations(images, 2):
                if found := common(one.tags, other.tags):
                    raise ValueError(
                        f"{one.name} and {other.name} share the repository {repository}, where one tag could be the "
                        f"{found[0]} of the first and the {found[1]} of the second; give each a prefix of its own, as "
                        f'in prefix = "{one.name}-", or a repository'
                    )
        return value

    @field_validator("trust")
    @classmethod
    def _somebody_is_trusted(cls, value: Trust | None) -> Trust | None:
        if value and not value.signers():
            raise ValueError("expected signers of next, testing, stable or ledger: without any nothing is asked for")
        return value

    @model_validator(mode="after")
    def _no_platform_goes_unseen(self) -> "Config":
        gate = self.gates.testing
        if gate.platforms and (wrong := [one for one in gate.platforms if platforms.machine(one) not in BOOTABLE]):
            raise ValueError(
                f"gates.testing.platforms has {wrong[0]}, which the gate cannot boot: expected processors "
                f"{' or '.join(sorted(BOOTABLE))}. Name it in gates.testing.unbooted, with the reason"
            )
        for image in self.images.values():
            if unseen := platforms.unexcused(image.platforms, gate.platforms, gate.unbooted):
                raise ValueError(
                    f"images.{image.name}.platforms has {unseen[0]}, which the testing gate does not boot: expected it "
                    f'in gates.testing.platforms, or gates.testing.unbooted = {{ "{unseen[0]}" = "why" }} to '
                    "promote it all the same"
                )
            if not self.booted(image):
                raise ValueError(
                    f"images.{image.name} has no platform that the testing gate boots: expected one that "
                    "gates.testing.unbooted does not name"
                )
        return self

    def booted(self, image: Image) -> list[str]:
        """The platforms of an image whose disks are made and booted by the testing gate."""
        return platforms.booted(image.platforms, self.gates.testing.platforms, self.gates.testing.unbooted)

    def unbooted(self, image: Image) -> dict[str, str]:
        """The others, each with the reason."""
        return {one: why for one, why in self.gates.testing.unbooted.items() if one in image.platforms}

    def in_order(self, images: Sequence[Image]) -> list[list[Image]]:
        """Some images in groups, each after what it needs of them."""
        chosen = {image.name: image for image in images}
        needs = {name: [one for one in image.needs if one in chosen] for name, image in chosen.items()}
        return [[chosen[name] for name in wave] for wave in fleet.waves(needs)]

    def sharing(self, repository: Repository) -> list[Image]:
        """The images that have tags in a repository."""
        return [image for image in self.images.values() if repository in image.homes]

    def is_promoted(self, repository: Repository, tag: Tag) -> bool:
        """Whether only a promotion writes this tag: as a channel, an alias or a version of some image."""
        moved = {Kind.CHANNEL, Kind.ALIAS, Kind.VERSION}
        read = (image.tags.read(tag) for image in self.sharing(repository))
        return looks_promoted(repository, tag) or any(name and name.kind in moved for name in read)

    def selected(self, names: list[str]) -> list[Image]:
        """The images named by `--image`, or all of them; UsageError for a name that is not in the file."""
        unknown = [name for name in names if name not in self.images]
        if unknown:
            raise UsageError(
                f"{FILE} has no image {', '.join(unknown)}; it has {', '.join(self.images)}. Correct --image."
            )
        return [self.images[name] for name in names] if names else list(self.images.values())

    def waivers_in(self, gate: Channel) -> list[Waiver]:
        """The known findings of a gate's checks."""
        return [waiver for waiver in self.waivers if waiver.holds_in(gate)]

    def paths_of(self, channel: Channel) -> list[str]:
        """Files and folders of the repository that belong to what a gate asks for."""
        stable = self.gates.stable.openqa
        found = {
            Channel.NEXT: [self.gates.next.tests],
            Channel.TESTING: [self.gates.testing.checks, self.gates.testing.builder.config],
            Channel.STABLE: [stable.scenarios, *stable.assets.values()] if stable else [],
        }
        return [path for path in found[channel] if path]

    def gate_version(self, channel: Channel, *images: Image, trees: Sequence[str] = ()) -> str:
        """What a gate asks of these images (all of them by default), as 12 hexadecimal digits.

        Evidence of another version does not count. Only what the file says is in it, so that a new key with a default
        does not take old evidence away; and a number of the gate itself, which changes when a check comes to mean
        something else. `trees`: what the files and folders of `paths_of` are, as git names them.
        """
        gate: BaseModel = getattr(self.gates, channel.value)
        platforms = sorted({platform for image in images or self.images.values() for platform in image.platforms})
        asked = [
            f"{channel} {GATE_NUMBERS[channel]}",
            *platforms,
            *trees,
            *(f"{image.prefix} {image.update_reference}" for image in images if image.prefix or image.names),
            gate.model_dump_json(exclude_defaults=True),
            *(waiver.model_dump_json(exclude_defaults=True) for waiver in self.waivers_in(channel)),
        ]
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]
