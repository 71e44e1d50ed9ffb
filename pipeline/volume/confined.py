"""Running a function on a stranger's files in a process that holds no secret and can open nothing but those files.

The server calls `run`; the function is imported by a new Python process (``python -m pipeline.volume.confined``), which
is spawned, not forked, and so shares neither memory nor open files with the server. Before the function is called the
process gives up what it does not need, for good:

- its environment holds a few harmless variables only;
- Landlock (Linux 5.13) lets it read Python's libraries and what is `readable`, and change what is `writable`;
- a seccomp filter takes the network, other programs and other processes away;
- the kernel limits its memory and seconds of computing, the server the time until it answers.

The answer comes through a pipe as JSON and plain arrays, which cannot run code. On a kernel without Landlock the other
walls stand, and a warning is logged.
"""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
import platform
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np

from pipeline import errors
from pipeline.errors import DataError, StorageError, VemsegError

resource: Any = None  # on Windows
with suppress(ImportError):
    import resource

ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "OMP_NUM_THREADS", "VIRTUAL_ENV")
REMOTE_ENVIRONMENT = ("AWS_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
ANSWER_BYTES = 2**27
HEAD_BYTES = 2**20
"""Of an answer's JSON; arrays follow it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What the process may use; None: as much as there is.

    memory_bytes: beyond what Python and its libraries take. cpu_seconds: of computing. seconds: until it answers.
    """

    memory_bytes: int | None = 2**31
    cpu_seconds: int | None = 60
    seconds: float | None = 120.0


def run(
    function: str,
    arguments: Mapping[str, Any],
    *,
    what: str,
    readable: Sequence[Path] = (),
    writable: Sequence[Path] = (),
    limits: Limits = Limits(),
    modules: Iterable[str] = (),
    remote: bool = False,
    shows_output: bool = False,
    cwd: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Call a function in a confined process.

    Args:
        function: ``package.module:name``.
        arguments: by name; what JSON holds.
        what: how messages name what is worked on.
        readable: files and folders that the function may read.
        writable: folders in which it may read, make and change files.
        limits: on memory and time.
        modules: further modules to import first, such as those of formats that are not ours.
        remote: what is read lies in object storage, so that the network and the keys for it stay.
        shows_output: what it prints goes where this process prints its errors.
        cwd: the folder at which relative paths start. environment: further variables.

    Returns:
        What the function returned: None, or a dictionary of what JSON holds and numpy arrays.

    Raises:
        VemsegError: as the function did.
        DataError: it needed more than the limits, or the process ended by itself.
        StorageError: the process could not be started.
    """
    with TemporaryDirectory(prefix="vemseg-confined-") as scratch:
        request = {
            "function": function,
            "arguments": dict(arguments),
            "readable": [str(path) for path in readable],
            "writable": [*(str(path) for path in writable), scratch],
            "limits": asdict(limits),
            "modules": list(modules),
            "remote": remote,
        }
        variables = {**_environment(scratch, remote), **(environment or {})}
        code, answer, is_late = _answer(request, variables, limits, shows_output, cwd)
    head, newline, arrays = answer.partition(b"\n")
    if not newline:
        raise DataError(f"{what}: {_end_in_words(code, limits, is_late)}")
    try:
        content = _content(head)
        result = _joined(content["result"], arrays) if "result" in content else None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Whoever took the process over may answer anything.
        raise DataError(f"{what}: cannot be read; the process that looked at it gave no proper answer") from error
    if "result" not in content:
        raise _error(str(content.get("error")), str(content.get("message")), what, limits)
    return result


def _answer(
    request: Mapping[str, Any], environment: Mapping[str, str], limits: Limits, shows_output: bool, cwd: Path
) -> tuple[int, bytes, bool]:
    """Exit code, what it answered, and whether it was ended for being late."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.volume.confined"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if shows_output else subprocess.DEVNULL,
            env=dict(environment),
            cwd=cwd,
        )
    except OSError as error:
        raise StorageError(f"a process to read the file cannot be started: {error}") from error
    assert process.stdin is not None
    assert process.stdout is not None
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(limits.seconds, end) if limits.seconds is not None else None
    try:
        if timer:
            timer.start()
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(request).encode())
        content = process.stdout.read(ANSWER_BYTES)
    finally:
        if timer:
            timer.cancel()
        process.stdout.close()
        process.kill()  # whatever it still does, nobody waits for
        code = process.wait()
    return code, content, is_late.is_set()


def _environment(scratch: str, remote: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    if remote:
        kept |= {name: value for name, value in os.environ.items() if name.upper().startswith(REMOTE_ENVIRONMENT)}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join(path for path in sys.path if path)
    # HDF5 looks for filters in folders, of which none is wanted; each thread's memory would count as a whole arena.
    others = {"HDF5_PLUGIN_PRELOAD": "::", "MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **threads, **others, "PYTHONPATH": paths, "TMPDIR": scratch, "HOME": scratch}


def _end_in_words(code: int, limits: Limits, is_late: bool) -> str:
    if is_late:
        return f"it took longer than {limits.seconds:g} seconds to look at and was given up; save it in a plainer form"
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it needs more than {limits.cpu_seconds} seconds of computing to look at; save it in a plainer form"
    return "the library that reads this kind of file failed on it; it is damaged, export it again"


def _error(kind: str, message: str, what: str, limits: Limits) -> VemsegError:
    if kind == MemoryError.__name__ and limits.memory_bytes:
        gigabytes = limits.memory_bytes / 2**30
        return DataError(f"{what}: it needs more than {gigabytes:g} GB of memory to look at; save it in smaller pieces")
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, VemsegError):
        with suppress(TypeError):  # an error of more than a message tells no reader's fault
            return known(message)
    return DataError(f"{what}: cannot be read ({message}); it may be damaged, export it again")


def _content(head: bytes) -> dict[str, Any]:
    """The JSON of an answer. Raises ValueError, or what its reader raises, where it is none."""
    if len(head) > HEAD_BYTES:
        raise ValueError(f"{len(head)} bytes of JSON")

    def refuse(number: str) -> float:
        raise ValueError(f"{number} is not JSON")

    content = json.loads(head, parse_constant=refuse)
    if not isinstance(content, dict):
        raise TypeError(f"a {type(content).__name__} is no answer")
    return content


def _joined(result: Any, arrays: bytes) -> dict[str, Any] | None:
    """A result with its arrays, which follow each other in the order of their names.

    Raises ValueError, or what numpy raises, where they do not.
    """
    if result is None:
        return None
    offset = 0
    for name, value in dict(result).items():
        if isinstance(value, dict) and set(value) == {"dtype", "shape"}:
            dtype, shape = np.dtype(str(value["dtype"])), value["shape"]
            if dtype.kind not in "buif" or not all(type(side) is int and side >= 0 for side in shape):
                raise ValueError(f"{dtype} {shape} is no array of numbers")
            array = np.frombuffer(arrays, dtype, prod(shape), offset).reshape(shape)
            result[name], offset = array, offset + array.nbytes
    if offset != len(arrays):
        raise ValueError(f"{len(arrays) - offset} bytes are of no array")
    return dict(result)


def main() -> None:
    """The confined process: read the request, give up what is not needed, call the function, answer."""
    _end_with_parent()
    request = json.load(sys.stdin.buffer)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    for module in request["modules"]:
        import_module(module)
    module, _, name = request["function"].partition(":")
    function = getattr(import_module(module), name)
    confine(request["readable"], request["writable"], Limits(**request["limits"]), remote=request["remote"])
    try:
        _write(answer, {"result": function(**request["arguments"])})
    except VemsegError as error:
        _write(answer, {"error": type(error).__name__, "message": str(error)})
        sys.exit(error.exit_code)
    except Exception as error:  # whatever a library raises on a damaged file
        _write(answer, {"error": type(error).__name__, "message": str(error)[:500]})
        raise


def _write(answer: BinaryIO, content: dict[str, Any]) -> None:
    result, arrays = content.get("result"), []
    if isinstance(result, dict):
        content = {"result": dict(result)}
        for name, value in result.items():
            if isinstance(value, np.ndarray):
                content["result"][name] = {"dtype": value.dtype.str, "shape": value.shape}
                arrays.append(np.ascontiguousarray(value))
    answer.write(json.dumps(content).encode() + b"\n")
    for array in arrays:
        answer.write(array.data)
    answer.flush()


def confine(readable: Iterable[str], writable: Iterable[str], limits: Limits, *, remote: bool = False) -> None:
    """Give up, in this process and for good, all but what is named; see the module's description."""
    _limit(limits)
    if sys.platform != "linux":
        _log.warning("files of strangers are read without confinement: Landlock and seccomp are Linux's")
        return
    _no_new_privileges()
    network = ["/etc"] if remote else []
    if not _restrict_files([*readable, *_libraries(), *network], [*writable, "/dev/null"], remote=remote):
        _log.warning("this kernel has no Landlock: files of strangers are read by a process that may open others")
    _filter_system_calls(remote=remote)


def _limit(limits: Limits) -> None:
    if resource is None:
        return  # confine has a warning for it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.memory_bytes is not None and sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if limits.cpu_seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + limits.cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def _libraries() -> list[str]:
    """Where Python and what it loads lie: nothing secret, and nothing of a user."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    ours = str(Path(__file__).parents[1])
    system = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"]
    return [sys.prefix, sys.base_prefix, *packages, ours, *system, "/dev/urandom"]


# Landlock (docs.kernel.org/userspace-api/landlock.html): system calls, of the same numbers everywhere, and rights.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Devices, sockets, pipes and symbolic links: whoever reads the folder next would wait at them, or be led elsewhere."""
_OF_FILES = 1 | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
_FILE_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights on files each version of Landlock knows: 16 from version 5 on."""
_ALL_OF_NETWORK, _ALL_OF_SCOPE = 0b11, 0b11

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _no_new_privileges() -> None:
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise StorageError(f"the process cannot be confined: {os.strerror(ctypes.get_errno())}")


def _restrict_files(readable: Iterable[str], writable: Iterable[str], *, remote: bool) -> bool:
    """Let this process read and change only what lies there; False where the kernel cannot."""
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    everything = (1 << _FILE_RIGHTS_BY_VERSION.get(version, 16)) - 1
    attributes = [everything]
    if version >= 4:
        attributes.append(0 if remote else _ALL_OF_NETWORK)
    if version >= 6:
        attributes.append(_ALL_OF_SCOPE)
    content = struct.pack(f"{len(attributes)}Q", *attributes)
    ruleset = libc.syscall(_CREATE_RULESET, content, len(content), 0)
    if ruleset < 0:
        return False
    for path in readable:
        _allow(libc, ruleset, path, (_READ_FILE | _READ_DIR) & everything)
    for path in writable:
        _allow(libc, ruleset, path, everything & ~(1 | _MAKE_OTHERS))  # nor to execute
    failed = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return not failed


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # there is none, so nothing can be read there
        return
    try:
        kept = rights if Path(path).is_dir() else rights & _OF_FILES
        if libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", kept, place), 0):
            raise StorageError(f"the process cannot be confined to {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(place)


# Numbers of system calls by machine (asm/unistd_64.h, asm-generic/unistd.h): other programs, other processes, keys,
# rings that go round the filter, namespaces; who computes when and where (of any process); changes to files by their
# paths that Landlock lets pass (mode, owner, attributes, length, times); links, pipes and devices; last, the network's.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    "x86_64": (
        *(59, 322, 101, 310, 311, 62, 200, 129, 297, 141, 434, 438, 248, 249, 250, 321, 298, 323, 425, 165, 272, 308),
        *(57, 58, 142, 144, 203, 251, 314, 132, 235, 261, 280),
        *(90, 268, 452, 92, 94, 260, 188, 189, 197, 198, 76, 88, 266, 133, 259, 41),
    ),
    "aarch64": (
        *(221, 281, 117, 270, 271, 129, 130, 138, 240, 140, 434, 438, 217, 218, 219, 280, 241, 282, 425, 40, 97, 268),
        *(118, 119, 122, 30, 274, 88),
        *(53, 452, 54, 5, 6, 14, 15, 45, 36, 33, 198),
    ),
}
_OF_ITSELF = {"x86_64": (234, 302), "aarch64": (131, 261)}
"""tgkill and prlimit64: allowed where their first argument is this process, or 0, which stands for it."""
_CLONE, _CLONE3, _CLONE_THREAD = {"x86_64": 56, "aarch64": 220}, 435, 0x10000
"""New threads are allowed, new processes are not; clone3, whose flags a filter cannot see, is "not there"."""
_LOAD, _JUMP_EQUAL, _JUMP_FROM, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOWED, _KILLED = 0x7FFF0000, 0x80000000
_REFUSED, _ABSENT = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ERRNO


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_system_calls(*, remote: bool) -> None:
    """Refuse the calls of `_DENIED` from now on (seccomp(2)); on other machines Landlock stands alone."""
    machine = platform.machine()
    if machine not in _DENIED:
        _log.warning("no filter of system calls is known for %s: files of strangers are read without one", machine)
        return
    denied = _DENIED[machine][:-1] if remote else _DENIED[machine]
    steps = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILLED), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_FROM, 0, 1, 1 << 30), (_RETURN, 0, 0, _KILLED)]  # x86's second set of numbers
    for number in denied:
        steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSED)]
    for number in _OF_ITSELF[machine]:
        steps += [(_JUMP_EQUAL, 0, 5, number), (_LOAD, 0, 0, 16), (_JUMP_EQUAL, 2, 0, 0)]
        steps += [(_JUMP_EQUAL, 1, 0, os.getpid()), (_RETURN, 0, 0, _REFUSED), (_RETURN, 0, 0, _ALLOWED)]
    steps += [(_JUMP_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ABSENT), (_JUMP_EQUAL, 0, 3, _CLONE[machine])]
    steps += [(_LOAD, 0, 0, 16), (_JUMP_SET, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _REFUSED)]
    steps.append((_RETURN, 0, 0, _ALLOWED))
    content = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), content)
    if _libc().prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0):
        _log.warning("system calls cannot be filtered: %s", os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
