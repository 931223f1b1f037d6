"""Ask the kernel to end this process when its parent ends, however that happens."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def ask(parent: int) -> None:
    """Die by SIGKILL with the process `parent`; at once, if it is gone already.

    Linux only (prctl(2)); elsewhere nothing happens and the reaper's lease does the work.
    """
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)
