"""The unprivileged account that PostgreSQL runs under when we are root: it refuses to be root."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from storage.embedded.children import Account, EngineError

NAME = "dare-postgres"


def engine_account() -> Account | None:
    """Return the account for the database, made on first use; None when we are not root.

    Where no account can be made (no useradd, a read-only /etc) it is `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in (NAME, "nobody"):
        entry = _known(name) or _add(name)
        if entry is not None:
            return Account(entry.pw_uid, entry.pw_gid)
    raise EngineError(f"PostgreSQL will not run as root: make an account called {NAME}.")


def _known(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _add(name: str) -> pwd.struct_passwd | None:
    command = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if command is None or name != NAME:
        return None
    subprocess.run(
        [command, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
        capture_output=True,
        check=False,  # another start may have won; what counts is whether it is there now
    )
    return _known(name)


def let_pass(path: Path) -> list[Path]:
    """Let every account pass through the folders above `path`; return those that were changed.

    Only the right to pass (x for others) is added, none to list or read, and only by root.
    """
    changed = []
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            changed.append(folder)
    return changed


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of one file or folder."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
