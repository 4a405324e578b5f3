"""What a process takes from itself before it touches what a model wrote. Linux; the standard library alone.

The filter names what may be called and forbids all else, so that a system call which is new or was not thought of is
forbidden too. A process under it can compute, allocate within its limit, and read files. It can not start a process or
a thread, write, make or remove a file, open a socket, signal or trace anybody, change its limits, or take the filter
off.
Numbers from Linux' ``asm/unistd_64.h`` and ``asm-generic/unistd.h``, instructions from seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What differs between processors."""

    audit: int
    """``AUDIT_ARCH_*``: a call by another one's numbers kills the process."""
    openat: int
    """The one way to open a file; allowed for reading."""
    allowed: tuple[int, ...]


MACHINES = {
    "x86_64": Machine(
        audit=0xC000003E,
        openat=257,
        allowed=(
            *(0, 1, 17, 19, 20, 3, 32, 292, 293),  # read write pread64 readv writev close dup dup3 pipe2
            *(4, 5, 6, 262, 332, 8, 21, 269, 439),  # stat fstat lstat newfstatat statx lseek access faccessat(2)
            *(89, 267, 217, 79),  # readlink readlinkat getdents64 getcwd
            *(9, 10, 11, 12, 25, 28),  # mmap mprotect munmap brk mremap madvise
            *(13, 14, 15, 131, 219, 37, 38),  # rt_sigaction/procmask/return sigaltstack restart_syscall alarm setitimer
            *(35, 96, 98, 100, 201, 228, 229, 230),  # nanosleep gettimeofday getrusage times time clock_*
            *(7, 23, 270, 271),  # poll select pselect6 ppoll
            *(24, 202, 204, 273, 324, 334),  # sched_yield futex sched_getaffinity set_robust_list membarrier rseq
            *(39, 186, 102, 104, 107, 108, 63, 99, 318),  # getpid gettid get(e)[ug]id uname sysinfo getrandom
            *(60, 231),  # exit exit_group
        ),
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        openat=56,
        allowed=(
            *(63, 64, 67, 65, 66, 57, 23, 24, 59),
            *(80, 79, 291, 62, 48, 439),
            *(78, 61, 17),
            *(222, 226, 215, 214, 216, 233),
            *(134, 135, 139, 132, 128, 103),
            *(101, 169, 165, 153, 113, 114, 115),
            *(72, 73),
            *(124, 98, 123, 99, 283, 293),
            *(172, 178, 174, 175, 176, 177, 160, 179, 278),
            *(93, 94),
        ),
    ),
}

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL, _FORBID = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE, _THIRD_ARGUMENT = 0, 4, 32
"""Offsets in ``struct seccomp_data``; of an argument its lower half."""
_NO_NEW_PRIVILEGES, _SECCOMP, _PARENT_DEATH = 38, 22, 1
"""Of prctl(2)."""


def instructions(machine: Machine) -> Iterator[tuple[int, int, int, int]]:
    """The filter: operation, how many instructions to skip if true and if false, operand."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    for number in machine.allowed:
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ALLOW
    yield _EQUAL, 0, 3, machine.openat
    yield _LOAD, 0, 0, _THIRD_ARGUMENT
    yield _ANY_BIT, 1, 0, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _FORBID


def forbid() -> None:
    """Put the filter on this thread, for good.

    Raises:
        OSError: no Linux, a processor without a table here, or a kernel that refuses.
    """
    machine = MACHINES.get(os.uname().machine) if sys.platform == "linux" and sys.maxsize > 2**32 else None
    if machine is None:
        raise OSError(errno.ENOSYS, f"no filter for {sys.platform} on {os.uname().machine}")
    packed = b"".join(struct.pack("HBBI", *i) for i in instructions(machine))
    code = ctypes.create_string_buffer(packed)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(packed) // 8, ctypes.addressof(code)))
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_SECCOMP, 2, ctypes.addressof(program))


def limit(memory: int, *, descriptors: int = 64) -> None:
    """No more than so much memory, no byte into a file, no core file, no further process.

    Args:
        memory: address space, in bytes.
        descriptors: open files.
    """
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: descriptors,
    }
    for what, bound in bounds.items():
        _lower(what, bound, bound)


def limit_cpu(seconds: int) -> None:
    """SIGXCPU after so many seconds of the processor, SIGKILL a second later."""
    _lower(resource.RLIMIT_CPU, seconds, seconds + 1)


def die_with_parent() -> None:
    """SIGKILL when the thread ends that started this process."""
    _prctl(_PARENT_DEATH, 9)


def _lower(what: int, soft: int, hard: int) -> None:
    _, most = resource.getrlimit(what)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = (*arguments, 0, 0, 0, 0)[:4]
    if libc.prctl(option, *map(ctypes.c_ulong, padded)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
