"""Network namespaces: make, remove, list, and run a function inside one.

One rule: only a short-lived thread ever enters a namespace. A thread that could not find its way back would do the
next verb in the wrong place; a thread that ends cannot.
"""

import ctypes
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pileus.services.network.drivers.base import HostNetworkError

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    """Move the calling thread into a namespace, for good."""
    try:
        fd = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise HostNetworkError(f"Namespace {namespace} is not there; ensure its owner again.") from error
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            cause = os.strerror(ctypes.get_errno())
            raise HostNetworkError(f"Namespace {namespace} could not be entered: {cause}. The agent must run as root.")
    finally:
        os.close(fd)


def inside(namespace: str, act: Callable[[], T]) -> T:
    """Run `act` in a namespace and return what it returns or raise what it raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(namespace)
            results.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name=f"in {namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def exists(namespace: str) -> bool:
    return (NAMESPACES / namespace).exists()


def identity(namespace: str) -> int | None:
    """Tell a namespace from another that had or will have its name; None when it is not there."""
    try:
        return os.stat(NAMESPACES / namespace).st_ino
    except FileNotFoundError:
        return None


def contains(namespace: str, pid: int) -> bool:
    """Tell whether a process stands in the namespace that has this name now."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino == identity(namespace)
    except (FileNotFoundError, ProcessLookupError):
        return False


def names() -> list[str]:
    return sorted(os.listdir(NAMESPACES)) if NAMESPACES.is_dir() else []


def make(namespace: str) -> None:
    """Make a namespace, or replace the name a crash left without its mount."""
    if exists(namespace):
        try:
            inside(namespace, lambda: None)
            return
        except HostNetworkError:
            remove(namespace)
    run("ip", "netns", "add", namespace)


def remove(namespace: str) -> None:
    """End what runs in a namespace, then remove it; its interfaces vanish with it."""
    if not exists(namespace):
        return
    _end_processes(namespace)
    run("ip", "netns", "delete", namespace)


def run(*command: str, input: str | None = None) -> str:
    """Run a host command in the calling thread's namespace; its error text becomes ours."""
    try:
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError as error:
        raise HostNetworkError(f"The command {command[0]} is missing; install the package that provides it.") from error
    except subprocess.TimeoutExpired as error:
        raise HostNetworkError(f"`{' '.join(command)}` did not end within 30 s; is the host overloaded?") from error
    if done.returncode != 0:
        raise HostNetworkError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def set_sysctl(path: str, value: str) -> None:
    """Write a setting of the calling thread's namespace, for example `net/ipv4/ip_forward`."""
    try:
        Path("/proc/sys", path).write_text(value)
    except FileNotFoundError as error:
        raise HostNetworkError(f"The kernel has no setting {path}; the module that brings it is missing.") from error


def _end_processes(namespace: str) -> None:
    for pid in run("ip", "netns", "pids", namespace).split():
        end_process(int(pid))


def end_process(pid: int, timeout_s: float = 2.0) -> None:
    """Stop a process that need not be our child: politely, then by force."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if _ended(handle, timeout_s):
                return
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _ended(handle: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
