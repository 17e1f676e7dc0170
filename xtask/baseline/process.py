"""Shared by the baseline scripts, with PyTorch or without: variants, memory, errors in one sentence, JSON results."""

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
from argparse import ArgumentTypeError

# What a variant may add to eager PyTorch. The last two are settings that the process must start with.
VARIANTS = {"channels_last", "compile", "amp", "malloc", "pin"}
ENVIRONMENT = {"malloc": ["MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"], "pin": ["GOMP_CPU_AFFINITY"]}


def variant(text, words=frozenset(VARIANTS)):
    """The type of `--variant`: the set of additions to eager PyTorch, such as `channels_last+malloc`, out of `words`."""
    parts = set(text.split("+")) - {"eager"}
    if not parts <= words:
        raise ArgumentTypeError(f"found {text}, expected eager, or {', '.join(sorted(words))} joined by +")
    for name in (name for part in parts for name in ENVIRONMENT.get(part, []) if name not in os.environ):
        raise ArgumentTypeError(f"{text} needs {name} in the environment, which `cargo xtask bench` sets")
    return parts


def in_words(variant):
    """The inverse of `variant`."""
    return "+".join(sorted(variant)) or "eager"


def timed(work, device):
    """Seconds that one call takes until the device has finished."""
    started = time.perf_counter()
    work()
    if device == "cuda":
        cuda().synchronize()
    return time.perf_counter() - started


def cuda():
    """`torch.cuda`, imported only where there is such a device: PyTorch would count in the memory of others."""
    from torch import cuda

    return cuda


class Memory:
    """Peak memory in bytes: of tensors on a CUDA device, else resident (Linux only).

    Created when libraries and data are in memory and the measured work has not begun: the work needs the peak above
    this level.
    """

    def __init__(self, device):
        self.device = device
        gc.collect()
        if device == "cuda":
            cuda().empty_cache()
            self.before, self.earlier_peak = cuda().memory_allocated(), cuda().max_memory_allocated()
            cuda().reset_peak_memory_stats()
            return
        give_back_freed()
        self.before, self.earlier_peak = resident("VmRSS"), resident("VmHWM")
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # Resets the peak.

    def figures(self):
        """The memory fields of every result; null where the system does not report them."""
        peak = cuda().max_memory_allocated() if self.device == "cuda" else resident("VmHWM")
        known = peak is not None
        return {
            "peak_memory_bytes": max(peak, self.earlier_peak) if known else None,
            "memory_before_bytes": self.before,
            "peak_memory_above_bytes": peak - self.before if known else None,
        }


def give_back_freed():
    """Returns freed memory to the system, so that resident memory is the memory in use."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident(field):
    """A size from /proc/self/status in bytes."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def at_least_one(text):
    """The type of a count on the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"found {text}, expected a whole number of at least 1")
    return int(text)


def print_result(result):
    """Prints the result as the last line of standard output."""
    print(json.dumps(result), flush=True)


def run(main, library="PyTorch", failure=RuntimeError):
    """Runs `main`; a failure prints one sentence to standard error and exits with status 1.

    A `failure` is the library's own.
    """
    try:
        main()
    except OSError as error:
        sys.exit(f"error: cannot read {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
    except ValueError as error:
        sys.exit(f"error: {first_line(error)}")
    except failure as error:
        sys.exit(f"error: {library} stopped with {type(error).__name__}: {first_line(error)}")


def first_line(error):
    return next(iter(str(error).splitlines()), "no message")
