"""Test programs: as they are, then what failed or was not reached each in a process of its own, and under compute-sanitizer."""
import glob
import re
import time

from gpu_check import gtest, libraries
from gpu_check.runner import HERE, Failed, Skipped, TimeUp, exit_words, last_lines

PROGRAM_SECONDS, ALONE_SECONDS, ALONE_TOGETHER, SANITIZER_SECONDS = 90, 20, 60, 120


def check_tests(runner, program):
    done = runner.program(program, seconds=PROGRAM_SECONDS)
    found = gtest.parse(done.text)
    figures = {"tests": len(found.ok) + len(found.failed) + len(found.skipped), "passed": len(found.ok), "skipped": len(found.skipped),
               "failed": found.failed}
    if done.code == 0 and not done.late:
        if not found.ok:
            raise Skipped(f"all {len(found.skipped)} tests were: {last_lines(done.text, 1)}")
        return f"{len(found.ok)} passed, {len(found.skipped)} skipped", figures
    message = exit_words(done) + (f" in {found.running}" if found.running else "")
    figures["running"] = found.running or None
    if done.late and runner.time_is_up():
        raise TimeUp(figures)
    alone = figures["alone"] = run_alone(runner, program, found)
    bad = sorted(set(found.failed) | {name for name, result in alone.items() if result not in ("ok", "skipped", "no time left")})
    message += f"; {len(found.ok)} passed, {len(found.failed)} failed"
    if alone:
        message += f"; alone {sum(result == 'ok' for result in alone.values())} of {len(alone)} pass"
    raise Failed(message + (f": {', '.join(bad)}" if bad else ""), figures)


def run_alone(runner, program, found):
    """One illegal address spoils the process for all later tests, so each of those gets a process."""
    if runner.report.dirty:
        return {}
    listed = runner.program(program, "--gtest_list_tests", seconds=ALONE_SECONDS)
    reached = set(found.ok + found.failed + found.skipped)
    todo = found.failed + [name for name in gtest.names(listed.text) if name not in reached]
    results, end = {}, time.monotonic() + ALONE_TOGETHER
    for name in todo:
        seconds = min(ALONE_SECONDS, end - time.monotonic(), runner.left())
        if seconds < 0.5 or runner.report.dirty:
            results[name] = "no time left"
            continue
        done = runner.program(program, f"--gtest_filter={name}", seconds=seconds)
        told = gtest.parse(done.text)
        if done.late and seconds < ALONE_SECONDS:
            results[name] = "no time left"
        elif done.late:
            results[name] = "hangs"
        elif done.code == 0:
            results[name] = "ok" if told.ok else "skipped"
        else:
            results[name] = "failed" if told.failed else exit_words(done)
    return results


def check_sanitizer(runner, tool, program):
    path = libraries.tool("compute-sanitizer", *sorted(glob.glob("/usr/local/cuda*/bin"), reverse=True))
    if not path:
        raise Skipped("absent: this machine has no compute-sanitizer")
    # The tool runs with the machine's own libraries; only its target gets the packed ones.
    variables = [f"{key}={value}" for key, value in runner.environment.items()]
    command = [path, "--tool", tool, "--error-exitcode", "99", "--target-processes", "all", libraries.tool("env"), *variables,
               str(HERE / "bin" / program), f"--gtest_filter={gtest.SMALL.get(program, '*')}"]
    done = runner.call(command, runner.machine_environment(), seconds=SANITIZER_SECONDS)
    summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", done.text)
    found = gtest.parse(done.text)
    figures = {"summary": summary, "passed": len(found.ok), "failed": found.failed, "running": found.running or None}
    if done.late and runner.time_is_up():
        raise TimeUp(figures)
    if done.late or (done.code != 0 and summary):
        raise Failed(f"{exit_words(done)}{' in ' + found.running if found.running else ''}: {last_lines(done.text, 20)}", figures)
    if not summary:
        raise Skipped(f"refused ({exit_words(done)}): {last_lines(done.text)}")
    if not found.ok:
        raise Skipped(f"no test ran: {last_lines(done.text)}")
    return f"{summary[-1]} ({len(found.ok)} tests)", figures
