"""compute-sanitizer over the small sizes of the GPU tests, and at once over tests that have just failed."""
import glob
import re

from gpu_check import gtest, libraries
from gpu_check.runner import HERE, Failed, Skipped, TimeUp, exit_words, last_lines

SANITIZER_SECONDS, AT_ONCE_SECONDS = 120, 45
WORDS = 40  # lines of what it says that the report keeps
NAMES = 20  # tests of one filter
NVIDIAS = ("nvjet", "cutlass", "cublas", "sm90_xmma")  # kernels of libraries: slow under the tool, and not ours to mend


def find_tool():
    return libraries.tool("compute-sanitizer", *sorted(glob.glob("/usr/local/cuda*/bin"), reverse=True))


def without_nvidias(runner, path, program):
    """Options that leave out the kernels of cuBLASLt, by the name that this version of the tool has for them."""
    if program != "backend_conformance_gpu":
        return []
    listed = runner.call([path, "--help"], runner.machine_environment(), seconds=10).text
    if "--kernel-name-exclude" in listed:
        return ["--kernel-name-exclude", f"regex={'|'.join(NVIDIAS)}"]
    if "--kernel-regex-exclude" in listed:  # the older name, whose keys are substrings
        return [word for name in NVIDIAS for word in ("--kernel-regex-exclude", f"kns={name}")]
    return []


def run_tool(runner, path, tool, program, wanted, seconds):
    """The tool runs with the machine's own libraries; only its target gets the packed ones."""
    variables = [f"{key}={value}" for key, value in runner.environment.items()]
    command = [path, "--tool", tool, "--error-exitcode", "99", "--target-processes", "all", *without_nvidias(runner, path, program),
               libraries.tool("env"), *variables, str(HERE / "bin" / program), f"--gtest_filter={wanted}"]
    return runner.call(command, runner.machine_environment(), seconds=seconds)


def told_by(done):
    """What is the sanitizer's, and apart from it what is the tests'."""
    summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", done.text)
    lines = [line[9:].strip() for line in done.text.splitlines() if line.startswith("=========") and "COMPUTE-SANITIZER" not in line]
    found = gtest.parse(done.text)
    return {"summary": summary, "errors": sum(int(number) for line in summary for number in re.findall(r"^\d+", line)),
            "words": [line for line in lines if line][:WORDS], "passed": len(found.ok), "failed_tests": found.failed,
            "running": found.running or None}


def check_sanitizer(runner, tool, program):
    path = find_tool()
    if not path:
        raise Skipped("absent: this machine has no compute-sanitizer")
    done = run_tool(runner, path, tool, program, gtest.SMALL.get(program, "*"), SANITIZER_SECONDS)
    told = told_by(done)
    if done.late and runner.time_is_up():
        raise TimeUp(told)
    if told["errors"] or done.late:
        what = f"{tool}: {told['errors']} errors" if told["errors"] else exit_words(done) + (f" in {told['running']}" if told["running"] else "")
        raise Failed(f"{what}: {' | '.join(told['words'][:20]) or last_lines(done.text)}", told)
    if not told["summary"]:
        raise Skipped(f"refused ({exit_words(done)}): {last_lines(done.text)}", {**told, "of": runner.kind})
    if told["failed_tests"] or done.code != 0:
        names = ", ".join(told["failed_tests"]) or "none by name"
        raise Failed(f"{tool} finds no error; tests that fail all the same ({exit_words(done)}): {names}", told)
    if not told["passed"]:
        raise Skipped(f"no test ran: {last_lines(done.text)}", {**told, "of": runner.kind})
    return f"{told['summary'][-1]} ({told['passed']} tests)", told


def memcheck_at_once(runner, program, names):
    """Of tests that have just failed, while the machine is there. None where there is nothing to look at, or nothing to look with."""
    path = find_tool()
    seconds = min(AT_ONCE_SECONDS, runner.left())
    if not names or not path or seconds < 1 or runner.report.dirty:
        return None
    done = run_tool(runner, path, "memcheck", program, ":".join(names[:NAMES]), seconds)
    return {**told_by(done), "ended": exit_words(done)}


def words_of(memcheck):
    """For the message of the part whose tests failed."""
    if memcheck is None:
        return ""
    first = f": {' | '.join(memcheck['words'][:6])}" if memcheck["errors"] else ""
    return f"; memcheck ({memcheck['ended']}) finds {memcheck['errors']} errors{first}"
