"""Test programs: as they are, then what failed or was not reached each in a process of its own, and what failed under memcheck."""
import time

from gpu_check import gtest
from gpu_check.check_sanitizer import memcheck_at_once, words_of
from gpu_check.runner import Failed, Skipped, TimeUp, exit_words, last_lines

PROGRAM_SECONDS, ALONE_SECONDS, ALONE_TOGETHER = 45, 8, 30


def check_tests(runner, program, first=False):
    """A `first` program's kernels are used by all that comes later: where it hangs or crashes, that is not tried."""
    done = runner.program(program, seconds=PROGRAM_SECONDS)
    found = gtest.parse(done.text)
    figures = {"tests": len(found.ok) + len(found.failed) + len(found.skipped), "passed": len(found.ok), "skipped": len(found.skipped),
               "failed": found.failed}
    if done.code == 0 and not done.late:
        if not found.ok:
            raise Skipped(f"all {len(found.skipped)} tests were: {last_lines(done.text, 1)}", {**figures, "of": runner.kind})
        return f"{len(found.ok)} passed, {len(found.skipped)} skipped", figures
    figures["running"] = found.running or None
    if done.late and runner.time_is_up():
        raise TimeUp(figures)
    alone = figures["alone"] = run_alone(runner, program, found)
    if first and (done.code < 0 and not done.late or is_hung(done, found, alone)):
        figures["blocks"] = f"{short_name(program)} {'hung' if done.late else 'crashed'}"
    raise Failed(words_about(done, found, alone) + look_closer(runner, program, done, found, figures, first), figures)


def is_hung(done, found, alone):
    """A program that is only slow has tests that pass alone."""
    return done.late and (alone.get(found.running) != "ok" or "hangs" in alone.values())


def short_name(program):
    return program.removeprefix("backend_").removesuffix("_test").removesuffix("_gpu")


def bad_tests(found, alone):
    return sorted(set(found.failed) | {name for name, result in alone.items() if result not in ("ok", "skipped", "no time left")})


def words_about(done, found, alone):
    message = exit_words(done) + (f" in {found.running}" if found.running else "")
    message += f"; {len(found.ok)} passed, {len(found.failed)} failed"
    if alone:
        message += f"; alone {sum(result == 'ok' for result in alone.values())} of {len(alone)} pass"
    bad = bad_tests(found, alone)
    return message + (f": {', '.join(bad)}" if bad else "")


def look_closer(runner, program, done, found, figures, first):
    """What hangs would only hang again. A crash that does not come alone is looked at with the test that it came in."""
    alone = figures["alone"]
    names = [name for name in bad_tests(found, alone) if alone.get(name) != "hangs"]
    names.sort(key=lambda name: alone.get(name) == "ok")  # what was only spoiled by another comes last
    if not names and not done.late and alone.get(found.running) == "ok":
        names = [found.running]
    figures["memcheck"] = memcheck_at_once(runner, program, names) if first else None
    return words_of(figures["memcheck"])


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
