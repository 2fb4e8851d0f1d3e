"""Run untrusted Python with limits; `python_tests` starts this as a separate program.

It reads ``{"code", "test", "token", "limits", "hidden"}`` as JSON from standard input and ends with
a line ``TOKEN passed`` or ``TOKEN failed REASON`` on standard output; without that line, the code
ended the process. It uses only the standard library, so that it also runs in a container.

On Linux, if ordinary users may create namespaces, the code has no network, sees only its own
processes, and has a read-only file system in which the hidden folders are empty, with a small
writable folder in memory. Without namespaces only the limits apply.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

NOBODY = 65534
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_NOSUID_NODEV, _RECURSIVE_PRIVATE, _READ_ONLY = 0x6, 0x44000, 0x1
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_SET_NO_NEW_PRIVILEGES = 38
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run the job from standard input, in this process and two child processes."""
    job = json.load(sys.stdin)
    report = os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    # The process that started a container cannot end the code in it.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(int(job["limits"]["seconds"]) + 2)
    _become_nobody()
    isolated = _leave_namespaces()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    # The first process of its namespace: when it ends, the kernel ends all others in it.
    if isolated:
        _hide(job["hidden"], int(job["limits"]["disk_mb"]))
    worker = os.fork()
    if worker:
        os.waitpid(worker, 0)
        os._exit(0)
    _limit(job["limits"], isolated)
    if sys.platform.startswith("linux"):  # without capabilities, none of this can be undone
        _LIBC.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _must(_LIBC.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()))
    own = os.getpid()
    said = _outcome(job)
    if os.getpid() == own:  # not a process that the code has forked
        os.write(report, said.encode("utf-8", "replace"))
    os._exit(0)


def _outcome(job: dict[str, Any]) -> str:
    """Run the code and then the test, and return the line to report."""
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(job["code"], "answer.py", "exec"), names)  # noqa: S102 - it is what we are for
        exec(compile(job["test"], "test.py", "exec"), names)  # noqa: S102
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test has not passed
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return f"{job['token']} failed {said}"
    return f"{job['token']} passed"


def _become_nobody() -> None:
    """Stop being root, to whom the limit on processes does not apply."""
    if os.geteuid() != 0:
        return
    os.chmod(".", 0o777)  # noqa: PTH101, S103 - the working folder is the code's own
    with contextlib.suppress(OSError):  # a container may have no other user
        os.setgroups([])
        os.seteuid(NOBODY)
        readable = os.access(os.__file__, os.R_OK, effective_ids=True)
        os.seteuid(0)
        # If only root can read Python, it stays the effective user; the limit on processes applies
        # to the real one.
        user = NOBODY if readable else 0
        os.setresgid(NOBODY, user, user)
        os.setresuid(NOBODY, user, user)


def _leave_namespaces() -> bool:
    """Move to new network, process, mount and IPC namespaces; return False if not allowed."""
    user, group = os.geteuid(), os.getegid()
    everything = _NEW_USER | _NEW_NET | _NEW_PID | _NEW_MOUNTS | _NEW_IPC
    if not sys.platform.startswith("linux") or _LIBC.unshare(everything) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {user} 1"),
        ("gid_map", f"{NOBODY} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as stream:  # noqa: PTH123
            stream.write(text)
    return True


def _hide(hidden: list[str], disk_mb: int) -> None:
    """Make all files read-only, hide some folders, and keep the working folder in memory."""
    here = os.getcwd()  # noqa: PTH109
    _must(_LIBC.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE_PRIVATE), None))
    # struct mount_attr: what to set, what to clear, propagation, user namespace.
    read_only = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    _must(_LIBC.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, read_only, 32))
    if _mount("proc", "/proc", "") != 0:
        _must(_mount("tmpfs", "/proc", "size=0,mode=555"))
    for folder in hidden:
        if os.path.isdir(folder) and not sys.base_prefix.startswith(folder):  # noqa: PTH112
            _must(_mount("tmpfs", folder, "size=4k,mode=555"))
    os.makedirs(here, exist_ok=True)  # noqa: PTH103
    _must(_mount("tmpfs", here, f"size={disk_mb}m,nr_inodes=10k,mode=777"))
    os.chdir(here)


def _mount(kind: str, place: str, options: str) -> int:
    source, flags = kind.encode(), ctypes.c_ulong(_NOSUID_NODEV)
    return int(_LIBC.mount(source, place.encode(), source, flags, options.encode()))


def _must(returned: int) -> None:
    if returned != 0:
        os._exit(1)


def _limit(limits: dict[str, Any], isolated: bool) -> None:
    """Set the limits of every process that the code may start."""
    megabyte = 1 << 20
    wanted = {
        resource.RLIMIT_CPU: int(limits["seconds"]) + 1,
        resource.RLIMIT_AS: int(limits["memory_mb"]) * megabyte,
        resource.RLIMIT_FSIZE: int(limits["disk_mb"]) * megabyte,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if isolated or os.getuid() == NOBODY:  # otherwise the user's other processes would count
        wanted[resource.RLIMIT_NPROC] = int(limits["processes"])
    for kind, most in wanted.items():
        _, allowed = resource.getrlimit(kind)
        lower = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(kind, (lower, lower))


if __name__ == "__main__":
    main()
