"""Puts a child under limits, then becomes it: `python -I -S launcher.py PARENT LIMITS… PROGRAM …`.

A file of its own, run by a fresh interpreter, because code between fork and exec is unsafe in a
process with threads. Arguments: the pid that must still be our parent; the limits AS (bytes),
CPU (seconds), FSIZE (bytes), NOFILE; the program and its arguments. The child then has: those
limits, no core file, nice 10, no way to new privileges, no network where the kernel grants that,
and SIGKILL when the thread that started it ends.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
# Past the soft CPU limit SIGXCPU names the reason; the hard one ends a child that ignores it.
CPU_GRACE = 5


def limit(address_space: int, cpu: int, file_size: int, open_files: int) -> None:
    """Set the resource limits that the program inherits."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + CPU_GRACE))
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def leave_network(libc: ctypes.CDLL) -> None:
    """Enter an empty network namespace where the kernel lets us; some containers do not."""
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def die_with(libc: ctypes.CDLL, parent: int) -> None:
    """Tie our life to `parent`; end at once when it was gone before the tie held."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Limit, detach, and become the program."""
    parent, *limits = (int(value) for value in sys.argv[1:6])
    libc = ctypes.CDLL(None, use_errno=True)
    os.nice(10)
    leave_network(libc)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # After the namespace: a change of credentials forgets the tie to the parent.
    die_with(libc, parent)
    # Python ignores these two, and what is ignored stays so in the program.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    limit(*limits)
    os.execve(sys.argv[6], sys.argv[6:], {})  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main()
