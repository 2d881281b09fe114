"""The checks, in the order in which they are asked and reported."""

from pipeline.vm.checks import console, journal, kernel, reboot, services, system_state, units
from pipeline.vm.checks.base import VmCheck

ALL: tuple[VmCheck, ...] = (
    kernel.CHECK,
    system_state.CHECK,
    units.CHECK,
    services.CHECK,
    console.CHECK,
    journal.CHECK,
    reboot.CHECK,
)
