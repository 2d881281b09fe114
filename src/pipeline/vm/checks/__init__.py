"""The checks, in the order in which they are asked and reported."""

from pipeline.vm.checks import (
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
    selinux,
    services,
    system_state,
    units,
    usr,
)
from pipeline.vm.checks.base import VmCheck

ALL: tuple[VmCheck, ...] = (
    kernel.CHECK,
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
    reboot.CHECK,
)
