"""What a GoogleTest program says as it goes on, so that also one that crashes or hangs has said something."""
import fnmatch
import re
from typing import NamedTuple

MARK = re.compile(r"\[ *(RUN|OK|FAILED|SKIPPED) *\] ([^\s,]+)")

# Filters of small sizes for compute-sanitizer: every kind of kernel, without the tests that take longest. The test left out of
# the first program has the driver refuse memory, which memcheck takes for an error.
SMALL = {
    "cuda_sample_gpu_test": "-Sample.TooMuchMemoryIsWorthARestartElsewhere",
    "cuda_kernels_gpu_test": "-SelectTest.RandomValues:SelectTest.ManyTies:SelectTest.ManySlots:SelectDead.All",
    "cuda_kernels_update_gpu_test": "-LatentsTest.LongSegmentsAreSummedByPieces:LatentsTest.AccumulateAndNorm:LatentsTest.WideRows:"
                                    "DenseTest.Activation:DecodeTest.AuxiliaryCodes:DecodeTest.ManySlotsFitSharedMemory",
    "backend_conformance_gpu": "Backends/Conformance.*_1x1x1:Backends/Conformance.*_3x5x7:Backends/Conformance.*_65x16x64",
}


class Found(NamedTuple):
    ok: list
    failed: list
    skipped: list
    running: str  # "" where none was


def parse(text):
    """A test may print before the mark on its line; the summary at the end names tests again, of which none runs then."""
    found, running = {"OK": [], "FAILED": [], "SKIPPED": []}, ""
    for line in text.splitlines():
        for kind, name in MARK.findall(line):
            if kind == "RUN":
                running = name
            elif name == running:
                found[kind].append(name)
                running = ""
    return Found(found["OK"], found["FAILED"], found["SKIPPED"], running)


def names(listed):
    """Of --gtest_list_tests."""
    result, suite = [], ""
    for line in listed.splitlines():
        if re.match(r"\S+\.(\s+#.*)?$", line):
            suite = line.split()[0]
        elif suite and line.startswith("  "):
            result.append(suite + line.split()[0])
    return [name for name in result if "DISABLED_" not in name]


def void_patterns(filter, listed):
    """What a filter names that is no test of the program (any more)."""
    return [pattern for pattern in filter.lstrip("-").split(":") if not fnmatch.filter(names(listed), pattern)]
