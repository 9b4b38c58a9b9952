"""Programs in sessions of their own, which end with all that they have started, also what has gone into another session."""
import ctypes
import os
import pathlib
import signal
import subprocess
import time

GRACE = 3  # seconds between SIGTERM and SIGKILL
PATIENCE = 10  # after SIGKILL; what is there still hangs in the driver
SUBREAPER, DEATH_SIGNAL = 36, 1  # of prctl
LIBC = ctypes.CDLL(None)
given_up = set()  # what could not be ended; nobody waits for it again


def adopt_orphans():
    """From now on a process whose parent has ended stays below this one, where end_all finds it."""
    LIBC.prctl(SUBREAPER, 1, 0, 0, 0)


def die_with_parent():
    LIBC.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def start(command, environment, folder, out, errors):
    return subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True,
                            preexec_fn=die_with_parent)


def has_ended(process, seconds):
    try:
        process.wait(max(0, seconds))
        return True
    except subprocess.TimeoutExpired:
        return False


def stat(pid):
    """State and parent; None where it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def descendants():
    """Below this process; what has ended is taken off the system's list."""
    parents = {int(name): told[1] for name in os.listdir("/proc") if name.isdigit() and (told := stat(name))}
    found, todo = [], [os.getpid()]
    while todo:
        parent = todo.pop()
        children = [pid for pid, above in parents.items() if above == parent]
        found += children
        todo += children
    return [pid for pid in found if pid not in given_up and not reaped(pid)]


def reaped(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # another's child: gone with its parent, or still there
        return stat(pid) is None


def left_of(process):
    """`process` is looked at first: its exit code is for those who hold it."""
    if process is not None:
        process.poll()
    return descendants()


def end_all(process=None, grace=None):
    """Ends everything below this process. What is there still after that: "pid name (state)"."""
    for number, patience in ((signal.SIGTERM, GRACE if grace is None else grace), (signal.SIGKILL, PATIENCE)):
        until = time.monotonic() + patience
        told = set()
        while left := left_of(process):
            for pid in set(left) - told:  # also what has been started meanwhile
                send(pid, number)
            told |= set(left)
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        else:
            return []
    given_up.update(left)
    return [f"{pid} {name_of(pid)} ({(stat(pid) or '?')[0]})" for pid in left]


def send(pid, number):
    for kill, target in ((os.killpg, pid), (os.kill, pid)):
        try:
            kill(target, number)
        except (ProcessLookupError, PermissionError):
            pass  # it leads no group, or has ended


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"
