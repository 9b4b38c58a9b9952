"""The parts of a check in the order in which they run: what tells most in the least time comes first."""
import fnmatch

from gpu_check.check_bench import check_baseline, check_bench, check_select, check_several, check_step, size_of
from gpu_check.check_machine import (check_calibrate, check_devices, check_doctor, check_gpus, check_libraries, check_monitor_cost,
                                     check_nvidia_smi, check_start)
from gpu_check.check_memory import check_memory
from gpu_check.check_profile import check_profile
from gpu_check.check_sanitizer import AT_ONCE_SECONDS, SANITIZER_SECONDS, check_sanitizer
from gpu_check.check_tests import ALONE_TOGETHER, PROGRAM_SECONDS, check_tests
from gpu_check.check_training import check_killed_rank, check_training
from gpu_check.runner import MANIFEST, Part

TRAINING, BENCH, MEMORY, SELECT, PROFILE = 30, 90, 120, 60, 60
SAMPLE, KERNELS, UPDATE, CONFORMANCE = "cuda_sample_gpu_test", "cuda_kernels_gpu_test", "cuda_kernels_update_gpu_test", "backend_conformance_gpu"
FIRST = [SAMPLE, KERNELS, UPDATE, CONFORMANCE]
# The kernels that nobody has tried on a GPU come before figures of large sizes. Racecheck of cuBLASLt's kernels, which the
# conformance tests call, would end in its time limit.
EARLY = [("racecheck", KERNELS), ("memcheck", KERNELS), ("racecheck", UPDATE), ("memcheck", UPDATE)]
LATE = [("memcheck", CONFORMANCE), ("memcheck", SAMPLE), ("racecheck", SAMPLE)]


def parts(shapes):
    first = [name for name in FIRST if name in MANIFEST["tests"]]
    later = [name for name in MANIFEST["tests"] if name not in FIRST]
    shapes = sorted(shapes, key=size_of)
    small, large = shapes[:2], shapes[2:]
    trainings = [Part(f"training/{dtype}", TRAINING, check_training, (dtype,), kernels=True) for dtype in ("bf16", "f32")]
    return (machine() + tests(first, True) + trainings + same_batch(small) + tests(later, False) + together(shapes[0])
            + several_gpus(small[-1]) + sanitizers(EARLY) + same_batch(large) + rest(shapes) + deeper(shapes) + sanitizers(LATE) + loader())


def machine():
    return [Part("libraries", 60, check_libraries, always=True), Part("devices", 60, check_devices, always=True),
            Part("nvidia-smi", 20, check_nvidia_smi), Part("doctor", 60, check_doctor), Part("gpus", 30, check_gpus),
            Part("calibrate", 80, check_calibrate)]


def tests(programs, first):
    """Those of whole trainings are trainings."""
    seconds = PROGRAM_SECONDS + ALONE_TOGETHER + (AT_ONCE_SECONDS if first else 0)
    return [Part(f"tests/{name}", seconds, check_tests, (name, first), kernels=name.startswith("gpu_train")) for name in programs]


def bench(name, seconds, work, *arguments):
    return Part(name, seconds, work, arguments, timing=True, kernels=True)


def same_batch(shapes):
    """As the dense program measures: its batch stays where it is."""
    return ([bench(f"bench/step/{shape}/same-batch", BENCH, check_step, shape, "--same-batch") for shape in shapes]
            + [Part(f"baseline/{shape}", BENCH, check_baseline, (shape,), timing=True) for shape in shapes])


def together(shape):
    """Ranks on one card show that they are right, not how fast they are."""
    return [bench("bench/scaling", BENCH, check_bench, "scaling", "--devices", "gpu", "--ranks", "1,2,4", "--ranks-per-device", "4", "--shape", shape),
            bench("bench/collectives", BENCH, check_bench, "collectives", "--devices", "gpu", "--ranks", "2", "--ranks-per-device", "2")]


def several_gpus(shape):
    return [Part("gpus/train/2", TRAINING, check_training, ("bf16", "auto:2"), kernels=True),
            Part("gpus/train/all", TRAINING, check_training, ("bf16", "auto:all"), kernels=True),
            Part("gpus/killed-rank", 2 * TRAINING, check_killed_rank, kernels=True),
            bench("gpus/collectives", BENCH, check_several, "collectives"),
            bench("gpus/scaling", BENCH, check_several, "scaling", "--shape", shape)]


def rest(shapes):
    """With the loader's part in it, and what is held."""
    return ([bench(f"bench/step/{shape}", BENCH, check_step, shape) for shape in shapes]
            + [bench(f"bench/step/{shape}/hot", BENCH, check_step, shape, "--same-batch", "--hot", "8") for shape in shapes]
            + [bench(f"bench/memory/{shape}", MEMORY, check_memory, shape) for shape in shapes]
            + [Part("monitor-cost", 60, check_monitor_cost, timing=True)])


def deeper(shapes):
    """Where the time of a step goes, and what would be faster."""
    return ([bench(f"bench/select/{shape}", SELECT, check_select, shape) for shape in shapes]
            + [bench(f"profile/{shape}", PROFILE + 5, check_profile, shape, PROFILE) for shape in shapes])


def loader():
    """Of the host alone; with the threads that a rank has on a machine with one GPU."""
    return [Part("bench/loader", BENCH, check_bench, ("loader", "--threads", "8", "--types", "BF16,table"), timing=True)]


def sanitizers(wanted):
    return [Part(f"sanitizer/{tool}/{name}", SANITIZER_SECONDS + 10, check_sanitizer, (tool, name), after=f"tests/{name}")
            for tool, name in wanted if name in MANIFEST["tests"]]


def dry_parts():
    """Everything up to the first call of a device."""
    def start(name, words, code, text):
        return Part(name, 120, check_start, (words, code, text))

    none, shape = "no NVIDIA", "128,16,256,4"
    found = [Part("libraries", 60, check_libraries, always=True)]
    found += [start(f"start/{test}", [test], 0, none) for test in MANIFEST["tests"]]
    found.append(start("start/saemill-worker", ["saemill-worker", "devices"], 0, none))
    for command in (["step", "--devices", "gpu:0"], ["scaling", "--devices", "gpu", "--ranks", "2", "--ranks-per-device", "2"]):
        found.append(start(f"start/saemill-worker bench {command[0]}", ["saemill-worker", "bench", *command, "--shape", shape], 78, none))
    # What a CPU rank says where oneDNN is not packed.
    found += [start(f"without/{library}", ["saemill-worker", "bench", "step", "--shape", shape], 78, "oneDNN has no")
              for library in MANIFEST["stand_ins"] if library.startswith("libdnnl")]
    found.append(start("start/monitor_cost", ["monitor_cost", "--help"], 0, "What watching the devices costs"))
    found.append(start("start/saemill", ["saemill", "doctor"], 0, none))
    return found


def globs_of(text):
    """Comma separated; a piece that begins with a digit belongs to the one before, for shapes have commas in them."""
    globs = []
    for piece in filter(None, text.split(",")):
        if globs and piece[0].isdigit():
            globs[-1] += f",{piece}"
        else:
            globs.append(piece)
    return globs


def matches(name, globs):
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)
