"""Who the servers run as, and how a child is tied to the life of its parent.

PostgreSQL refuses to run as root, and Valkey should not. As root (a container, a fresh machine) both run as a
system user of their own; as anybody else they run as that person.
"""

import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

USER = "clinicportal"

PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522

# Loaded before any fork: loading a library between fork and exec can deadlock.
_libc = ctypes.CDLL(None, use_errno=True)


class CannotRunServers(Exception):
    """The servers can't run as things are; the text is a sentence that says what to do."""


@dataclass(frozen=True)
class Account:
    """The user a server runs as. `capability` is what lets it pass a parent folder that is closed to it."""

    uid: int
    gid: int
    capability: int | None = None

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()


def server_account(must_reach: list[Path]) -> Account:
    """Choose the account for servers that must reach `must_reach` (binaries and data)."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    user = _system_user()
    if all(reachable(path, user.pw_uid, user.pw_gid) for path in must_reach):
        return Account(user.pw_uid, user.pw_gid)
    return Account(user.pw_uid, user.pw_gid, _search_capability(user.pw_name, must_reach))


def _system_user() -> pwd.struct_passwd:
    """Return our system user, made on first use, or `nobody` where users can't be made."""
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        pass
    if useradd := shutil.which("useradd"):
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
        made = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        if made.returncode == 0:
            print(f"Made the system user {USER}: PostgreSQL does not run as root.", file=sys.stderr, flush=True)
            return pwd.getpwnam(USER)
    return pwd.getpwnam("nobody")


def reachable(path: Path, uid: int, gid: int) -> bool:
    """Tell whether every folder above `path` lets this user pass, by its mode (access lists are not read)."""
    return all(_may_pass(folder.stat(), uid, gid) for folder in path.resolve().parents if folder.exists())


def _may_pass(folder: os.stat_result, uid: int, gid: int) -> bool:
    if folder.st_uid == uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _search_capability(user: str, must_reach: list[Path]) -> int:
    """Return the least capability we hold that lets the servers search folders closed to them.

    A checkout in /root is the usual case. Opening /root to others, or moving the data out of the checkout, would
    surprise more than servers that may read past one folder.
    """
    held = _effective_capabilities()
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return capability
    folder = must_reach[0].anchor
    raise CannotRunServers(
        f"PostgreSQL does not run as root, and its user {user} cannot reach this folder from {folder}. "
        "Move the checkout out of a closed home directory, or run as an ordinary user."
    )


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines() if sys.platform == "linux" else []:
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def preparation(account: Account | None, death_signal: signal.Signals) -> Callable[[], None]:
    """Return what a child does between fork and exec: become `account`, and die with its parent.

    The kernel sends `death_signal` when the *thread* that forked ends, so children are started from a thread that
    lives as long as they should. It forgets the wish when the user changes: that comes first.
    """
    parent = os.getpid()

    def prepare() -> None:
        os.umask(0o077)
        if account is not None and not account.is_me:
            _become(account)
        if sys.platform == "linux":
            _prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # the parent died before the wish was heard
                os._exit(1)

    return prepare


def _become(account: Account) -> None:
    os.setgroups([])
    os.setgid(account.gid)
    if account.capability is not None:
        # Lets the capability outlive setuid, and count in access(2), with which PostgreSQL looks at its programs.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setuid(account.uid)
    if account.capability is not None:
        _keep_only(account.capability)
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, account.capability, 0, 0)


def _keep_only(capability: int) -> None:
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    _checked(_libc.capset(header, effective_permitted_inheritable), "capset")


def _prctl(option: int, *values: int) -> None:
    _checked(_libc.prctl(option, *(ctypes.c_ulong(value) for value in values)), "prctl")


def _checked(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), call)


def die_with_parent() -> None:
    """Ask for SIGTERM when the process that started us (`make`) ends, however it ends."""
    parent = os.getppid()
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
