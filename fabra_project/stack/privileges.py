"""How root runs PostgreSQL, which refuses root: in a user namespace, otherwise as an ordinary user."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fabra_project.stack.errors import StackError


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The user that runs PostgreSQL: a prefix of its commands, and the owner of its files if it is another user."""

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def own(self, path: Path) -> None:
        """Make `owner` the owner of a folder of PostgreSQL and its contents."""
        if self.owner is None:
            return
        for root, _, files in os.walk(path):
            for name in (root, *(os.path.join(root, file) for file in files)):
                if os.lstat(name).st_uid != self.owner[0]:
                    os.lchown(name, *self.owner)


def choose_identity(cluster: Path, tool: Path) -> Identity:
    """Return who can run PostgreSQL's `tool` on this cluster, which need not exist yet, or raise StackError."""
    if os.geteuid() != 0:
        return Identity()
    owner = cluster.stat().st_uid if cluster.exists() else 0
    if owner != 0:
        try:
            users = [pwd.getpwuid(owner)]
        except KeyError:  # the folder came from another machine
            raise StackError(
                f"{cluster} belongs to the user id {owner}, which no user of this machine has: give it to one of them "
                "(chown), or set FABRA_DATA_DIR to another folder."
            ) from None
    else:
        prefix = _namespace()
        if prefix:
            return Identity(prefix=prefix)
        users = _ordinary_users(cluster.parent)
    for user in users:
        prefix = _become(user)
        if prefix and _reaches(prefix, cluster.parent.parent, tool):
            return Identity(prefix=prefix, owner=(user.pw_uid, user.pw_gid))
    names = ", ".join(user.pw_name for user in users) or "none"
    raise StackError(
        "PostgreSQL does not run as root, user namespaces are not allowed here, and no other user "
        f"(tried: {names}) can reach {cluster.parent.parent} and {tool.parent}: run this as an ordinary user, "
        "move the project out of folders that only root may enter, or set DATABASE_URL to a server of your own."
    )


def _namespace() -> tuple[str, ...]:
    """Return a command prefix that maps root to another user for one process; () if namespaces are forbidden."""
    # initdb looks its user up, so the mapped user must exist; 65534 also stands for every unmapped user.
    uids = sorted(user.pw_uid for user in pwd.getpwall() if user.pw_uid not in (0, 65534))
    unshare = shutil.which("unshare")
    if not uids or unshare is None:
        return ()
    uid = 1000 if 1000 in uids else uids[0]
    prefix = (unshare, "--user", f"--map-user={uid}", f"--map-group={uid}")
    return prefix if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0 else ()


def _ordinary_users(folder: Path) -> list[pwd.struct_passwd]:
    owners = [user for user in pwd.getpwall() if user.pw_uid == folder.parent.stat().st_uid != 0]
    by_name = {user.pw_name: user for user in pwd.getpwall()}
    return owners[:1] + [by_name[name] for name in ("postgres", "nobody") if name in by_name]


def _become(user: pwd.struct_passwd) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    return (setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")


def _reaches(prefix: tuple[str, ...], folder: Path, tool: Path) -> bool:
    script = 'test -x "$1" && "$2" --version'
    command = [*prefix, "sh", "-c", script, "sh", str(folder), str(tool)]
    return subprocess.run(command, capture_output=True, cwd="/").returncode == 0
