import re
import sys
from pathlib import Path

import pytest

from pareto.objectives.verifiers import confinement
from pareto.objectives.verifiers.confinement import MACHINES, instructions

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOWED = (
    "read write pread64 readv writev close dup dup3 pipe2 stat fstat lstat newfstatat fstatat statx lseek access "
    "faccessat faccessat2 readlink readlinkat getdents64 getcwd mmap mprotect munmap brk mremap madvise rt_sigaction "
    "rt_sigprocmask rt_sigreturn sigaltstack restart_syscall alarm setitimer nanosleep gettimeofday getrusage times "
    "time clock_gettime clock_getres clock_nanosleep poll select pselect6 ppoll sched_yield futex sched_getaffinity "
    "set_robust_list membarrier rseq getpid gettid getuid getgid geteuid getegid uname sysinfo getrandom exit "
    "exit_group"
)


@pytest.mark.parametrize("name", MACHINES)
def test_the_numbers_are_those_of_the_calls_that_are_meant(name):
    header = HEADERS[name]
    if not header.exists():
        pytest.skip("no kernel headers here")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    assert int(found["openat"]) == MACHINES[name].openat
    known = {int(found[call]) for call in ALLOWED.split() if call in found}
    assert set(MACHINES[name].allowed) == known


def decide(machine, architecture, number, third):
    """What the kernel makes of the filter: struct seccomp_data in, the returned value out."""
    data = {0: number, 4: architecture, 32: third}
    program = list(instructions(machine))
    value, at = None, 0
    while True:
        operation, true, false, operand = program[at]
        if operation == 0x06:
            return operand
        if operation == 0x20:
            value, at = data[operand], at + 1
            continue
        held = value == operand if operation == 0x15 else bool(value & operand)
        at += 1 + (true if held else false)


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_not_named_is_forbidden_and_files_open_for_reading_only(name):
    machine = MACHINES[name]
    allow, kill, forbid = 0x7FFF0000, 0x80000000, 0x00050001
    for number in [*range(600), 0x40000000 | machine.allowed[0], 0xFFFFFFFF]:
        wanted = allow if number in (*machine.allowed, machine.openat) else forbid
        assert decide(machine, machine.audit, number, 0) == wanted
    assert decide(machine, 0x40000003, machine.allowed[0], 0) == kill
    for flags, verdict in [(0, allow), (0o2000000, allow), (1, forbid), (2, forbid), (0o100, forbid), (0o1000, forbid)]:
        assert decide(machine, machine.audit, machine.openat, flags) == verdict


def test_an_unknown_processor_is_refused(monkeypatch):
    monkeypatch.setattr(confinement, "MACHINES", {})
    with pytest.raises(OSError, match=f"no filter for {sys.platform}"):
        confinement.forbid()
