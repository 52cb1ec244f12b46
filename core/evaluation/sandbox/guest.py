"""What a program of a model runs in: a process that gives up, before it reads the program, whatever
it could do harm with. Uses the standard library alone, and nothing of Fuata.

Run as `python -I -S -B guest.py SECONDS MEBIBYTES`; the program comes on standard input. Standard
output ends with one line of JSON that says how it went. Layers, each where the system has it:
resource limits (setrlimit: time, memory, no byte of any file, no further process), Landlock (no
file but Python's own, read only; no TCP) and seccomp (no sockets, no processes, no signals to
others, no changes to files).
"""

import contextlib
import ctypes
import io
import json
import os
import platform
import sys

_EPERM, _ENOSYS = 1, 38
_NO_NEW_PRIVILEGES = 38  # prctl's
_SET_SECCOMP, _FILTER = 22, 2
_LONGEST_REASON = 300

# Numbers of system calls (asm/unistd.h) that a program of a benchmark has no use for.
_REFUSED = {
    "x86_64": (
        41, 42, 43, 44, 46, 47, 49, 50, 53, 288, 299, 307,  # sockets
        56, 57, 58, 59, 322, 62, 129, 200, 234, 297, 424, 434,  # processes and signals
        101, 310, 311, 312,  # other processes' memory
        76, 77, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 133, 258, 259, 260, 263, 264, 265,
        266, 268, 316, 280, 132, 235, 261, 188, 189, 190, 197, 198, 199, 285,  # files
        155, 161, 165, 166, 169, 170, 171, 175, 176, 246, 313, 320, 428, 429, 430, 431, 432, 442,
        29, 30, 31, 64, 65, 68, 69, 70, 71, 240, 241,  # shared memory and queues
        248, 249, 250, 272, 298, 303, 304, 308, 319, 321, 323, 425, 426, 427, 437, 452,
        256, 279, 302,  # other processes' pages and limits
        141, 142, 144, 203, 251, 314, 173, 172, 227, 159,  # priorities, ports and clocks
    ),
    "aarch64": (
        198, 199, 200, 201, 202, 203, 206, 207, 211, 212, 242, 243, 269,
        220, 221, 281, 129, 130, 131, 138, 240, 424, 434,
        117, 270, 271, 272,
        33, 34, 35, 36, 37, 38, 45, 46, 47, 52, 53, 54, 55, 88, 276, 5, 6, 7, 14, 15, 16,
        39, 40, 41, 51, 142, 161, 162, 105, 106, 104, 273, 280, 428, 429, 430, 431, 432, 442,
        194, 195, 196, 186, 188, 189, 190, 191, 192, 193, 180, 181,
        217, 218, 219, 97, 241, 264, 265, 268, 279, 282, 425, 426, 427, 437, 452,
        238, 239, 261,
        140, 118, 119, 122, 30, 274, 170, 112, 171,
    ),
}  # fmt: skip
# opening a file and its flags' place among the arguments
_OPENING = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
_CLONE3 = 435
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC if os.name == "posix" else 0
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


class _Instruction(ctypes.Structure):
    """One of the Berkeley packet filter (linux/filter.h)."""

    _fields_ = (
        ("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


class _Rules(ctypes.Structure):
    """What Landlock is to handle (linux/landlock.h)."""

    _fields_ = (
        ("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64),
    )  # fmt: skip


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def limit_resources(seconds: int, mebibytes: int) -> bool:
    """Bound time and memory, and allow no byte of a file and no further process."""
    if sys.platform == "win32":
        return False
    import resource

    limits = {
        "RLIMIT_CPU": seconds + 1, "RLIMIT_AS": mebibytes * 2**20, "RLIMIT_FSIZE": 0,
        "RLIMIT_NPROC": 0, "RLIMIT_NOFILE": 32, "RLIMIT_CORE": 0,
    }  # fmt: skip
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))
    return True


def forbid_files() -> bool:
    """Leave no file readable but Python's own, and none writable, by Landlock; return whether the
    system has it.
    """
    if sys.platform != "linux":
        return False
    system = ctypes.CDLL(None, use_errno=True)
    version = system.syscall(444, None, 0, 1)
    if version < 1:
        return False
    all_of_files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    rules = _Rules(all_of_files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    handle = system.syscall(444, ctypes.byref(rules), size, 0)
    if handle < 0:
        return False
    reading = 1 | 4 | 8  # running, for libraries, reading files and folders
    for folder in {sys.base_prefix, "/usr", "/lib", "/lib64"}:
        with contextlib.suppress(OSError):
            opened = os.open(folder, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
            beneath = _Beneath(reading, opened)
            system.syscall(445, handle, 1, ctypes.byref(beneath), 0)
            os.close(opened)
    system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done: bool = system.syscall(446, handle, 0) == 0
    os.close(handle)
    return done


def forbid_calls() -> bool:
    """Refuse sockets, processes, signals and changes to files, by seccomp; return whether the system
    has it.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _REFUSED:
        return False
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    at_least = 0x35
    error = _ERROR | _EPERM
    lines = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, _ARCHITECTURE[machine]),
        (answer, 0, 0, _KILL),
        (load, 0, 0, 0),  # the call's number
        (at_least, 0, 1, 0x40000000),  # another set of numbers
        (answer, 0, 0, _KILL),
        (equal, 0, 1, _CLONE3),
        (answer, 0, 0, _ERROR | _ENOSYS),  # the C library then tries clone
    ]
    for number in _REFUSED[machine]:
        lines += [(equal, 0, 1, number), (answer, 0, 0, error)]
    for number, place in _OPENING[machine]:
        lines += [
            (equal, 0, 4, number),
            (load, 0, 0, 16 + 8 * place),  # its flags
            (any_bit, 0, 1, _WRITING),
            (answer, 0, 0, error),
            (load, 0, 0, 0),
        ]
    lines.append((answer, 0, 0, _ALLOW))
    filters = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    program = _Program(len(lines), filters)
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return bool(system.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program)) == 0)


def main() -> None:
    """Give everything up, run the program, and say how it went."""
    seconds, mebibytes, nonce = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    program = sys.stdin.buffer.read()
    report = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(nowhere, "w"), encoding="utf-8")
    sys.argv = ["program"]
    layers = [
        name
        for name, is_applied in (
            ("limits", limit_resources(seconds, mebibytes)),
            ("files", forbid_files()),
            ("calls", forbid_calls()),
        )
        if is_applied
    ]
    reason = ""
    write, encode = os.write, json.dumps  # the program may exchange them
    try:
        code = compile(program, "program", "exec")
        exec(code, {"__name__": "__main__"})  # noqa: S102 - what this process is for
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON] or "an error"
    line = encode({"nonce": nonce, "layers": layers, "reason": reason})
    write(report, line.encode("utf-8", "backslashreplace"))
    os._exit(0)


if __name__ == "__main__":
    main()
