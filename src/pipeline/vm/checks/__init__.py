"""The checks, in the order in which they are asked and reported."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.vm.checks import (
    against_stable,
    authorized_keys,
    boot_time,
    bootc,
    clock,
    console,
    disk_usage,
    journal,
    kernel,
    listening,
    reboot,
    secure_boot,
    selinux,
    services,
    size,
    ssh,
    system_state,
    units,
    upgrade,
    usr,
)
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.spec import Spec

ALL: tuple[VmCheck, ...] = (
    ssh.CHECK,
    kernel.CHECK,
    secure_boot.CHECK,
    bootc.DIGEST,
    bootc.ORIGIN,
    system_state.CHECK,
    units.CHECK,
    services.CHECK,
    console.CHECK,
    journal.CHECK,
    usr.CHECK,
    selinux.CHECK,
    authorized_keys.CHECK,
    listening.CHECK,
    disk_usage.CHECK,
    clock.CHECK,
    boot_time.CHECK,
    against_stable.BOOT,
    size.CHECK,
    against_stable.SIZE,
    reboot.CHECK,
)

UPGRADE: tuple[VmCheck, ...] = (upgrade.CHECK, upgrade.ROLLBACK)


def of(spec: Spec, only: Sequence[str] = ()) -> list[VmCheck]:
    """The checks that a specification asks for, or those of them that are named."""
    asked = [check for check in (UPGRADE if spec.upgrade else ALL) if not only or check.name in only]
    return [replace(check, required=check.required or check.name in spec.required) for check in asked]
