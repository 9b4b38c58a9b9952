#!/usr/bin/env python3
"""Runs the checks of a folder that scripts/gpu-check packed, and writes one JSON report after every part of them.

  FOLDER/run --out REPORT.json                     all, for at most 540 s
  FOLDER/run --list                                the parts in their order
  FOLDER/run --only 'tests/*,bench/step/8192,2304*'
  FOLDER/run --continue REPORT.json                what was not reached there, then what failed, then what was skipped

Where the carrying has lost the executable bits: python3 FOLDER/run. The last of the output is a table of what is required.

Beside REPORT.json: REPORT.logs.tar.gz with what every program said, and the files of failed trainings; while a part runs,
REPORT.now.log. Parts whose status is "running" or "not reached" have no result.

Exit codes: 0 all that was asked for is ok or skipped; 1 something failed; 2 wrong usage, or the report cannot be written;
75 nothing failed, but not all was reached (--continue goes on); 129, 130, 143 stopped by SIGHUP, SIGINT, SIGTERM.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True
from gpu_check import criteria, libraries, plan, processes  # noqa: E402
from gpu_check.check_bench import SHAPES  # noqa: E402
from gpu_check.check_machine import libc_words  # noqa: E402
from gpu_check.report import Logs, Report  # noqa: E402
from gpu_check.runner import HERE, MANIFEST, Runner, Stopped, blocked_by  # noqa: E402

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
INCOMPLETE = 75


def parse():
    needs = (f"Needs an x86-64 Linux with {libc_words()}, python3, NVIDIA's driver and {libraries.CUBLAS} (CUDA 13); "
             "compute-sanitizer, NCCL and PyTorch where they are.")
    parser = argparse.ArgumentParser(description=__doc__, epilog=needs, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-check.json"), help="the report")
    parser.add_argument("--time-limit", type=float, default=540, metavar="S", help="seconds of the whole run; default 540")
    parser.add_argument("--only", default="*", metavar="GLOBS", help="parts by name, separated by commas; libraries and devices always run")
    parser.add_argument("--skip", default="", metavar="GLOBS")
    parser.add_argument("--continue", dest="before", type=pathlib.Path, metavar="REPORT", help="keep what it has; run what is not ok there")
    parser.add_argument("--list", action="store_true", help="only print the parts' names, in order")
    parser.add_argument("--dry-run", action="store_true", help="everything up to the first call of a device")
    parser.add_argument("--baseline", type=pathlib.Path, help="torch_sae.py, run by this python; default: FOLDER/torch_sae.py where it is")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="batch,d_in,d_sae,k of the benchmarks")
    arguments = parser.parse_args()
    arguments.out = arguments.out.absolute()
    packed = HERE / "torch_sae.py"
    arguments.baseline = arguments.baseline or (packed if packed.is_file() else None)
    if arguments.baseline:
        arguments.baseline = arguments.baseline.resolve()
        if not arguments.baseline.is_file():
            parser.error(f"{arguments.baseline}: is no file")
    return parser, arguments


def chosen(parser, arguments):
    """The parts that are asked for."""
    try:
        parts = plan.dry_parts() if arguments.dry_run else plan.parts(arguments.shapes)
    except ValueError:
        parser.error(f"--shapes {' '.join(arguments.shapes)}: batch,d_in,d_sae,k are wanted")
    only, skip = plan.globs_of(arguments.only), plan.globs_of(arguments.skip)
    for glob in only + skip:
        if not any(plan.matches(part.name, [glob]) for part in parts):
            parser.error(f"{glob}: no part has such a name; --list tells them")
    return [part for part in parts if part.always or plan.matches(part.name, only) and not plan.matches(part.name, skip)]


def read_before(parser, path):
    """{name: check} of an earlier report."""
    if path is None:
        return {}, None
    try:
        report = json.loads(path.read_text())
        return {check["name"]: check for check in report["checks"] if check["status"] not in ("running", "not reached")}, report
    except (OSError, ValueError, LookupError, TypeError) as error:
        parser.error(f"--continue {path}: is no report ({type(error).__name__}: {error})")


def about(arguments, before, report_before):
    told = {"dry_run": arguments.dry_run, "time_limit": arguments.time_limit, "packed": MANIFEST,
            "machine": {"system": platform.platform(), "libc": " ".join(platform.libc_ver()), "cores": os.cpu_count()}}
    if report_before:
        told["continued"] = {"report": str(arguments.before), "kept": sorted(before), "same_programs": report_before.get("packed") == MANIFEST}
    return told


def turn(part, before, only):
    """Of a part, among those that go on with an earlier report: what hung there comes before what it blocks."""
    if part.always:
        return 0
    status = before[part.name]["status"] if part.name in before else "not reached"
    if status == "not reached" and only == "*" and blocked_by(before, part):
        return 3
    return {"not reached": 1, "failed": 2, "skipped": 4}[status]


def make_executable(folder):
    """What carries a folder here may not have carried that."""
    for path in folder.iterdir():
        if not os.access(path, os.X_OK):
            try:
                path.chmod(path.stat().st_mode | 0o755)
            except OSError as error:
                print(f"{path}: cannot be made executable: {error.strerror}; copy the folder to where it can", file=sys.stderr)


def start_report(parser, arguments, parts):
    """Before any work, so that it is known to be possible; and which parts are to run."""
    before, report_before = read_before(parser, arguments.before)
    runs = [part for part in parts if part.always or before.get(part.name, {}).get("status") != "ok"]
    runs.sort(key=lambda part: turn(part, before, arguments.only))
    before = {name: check for name, check in before.items() if name not in [part.name for part in runs if part.always]}
    everything = plan.dry_parts() if arguments.dry_run else plan.parts(arguments.shapes)
    names = [part.name for part in everything if part in runs or part.name in before]
    names += [name for name in before if name not in names]
    report = Report(arguments.out, about(arguments, before, report_before), names, criteria.judge)
    report.checks.update(before)  # also what had failed, until it has run again
    try:
        report.write()
    except OSError as error:
        parser.error(f"the report cannot be written: {error}; --out names another place")
    return report, runs


def stop(number, _):
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise Stopped(number)


def perform_all(runner, parts):
    for part in parts:
        runner.perform(part)
        if part.always and runner.report.checks[part.name]["status"] != "ok":
            break  # nothing else can run


def main():
    parser, arguments = parse()
    parts = chosen(parser, arguments)
    if arguments.list:
        print("\n".join(part.name for part in parts))
        return 0
    make_executable(HERE / "bin")
    report, runs = start_report(parser, arguments, parts)
    began, runner, code = time.monotonic(), Runner(report, arguments), None
    try:
        processes.adopt_orphans()
        runner.logs = Logs(arguments.out, pathlib.Path(runner.home, "logs"))
        if arguments.before and (archive := arguments.before.with_name(arguments.before.stem + ".logs.tar.gz")).is_file():
            runner.logs.take_over(archive)
        for number in SIGNALS:
            signal.signal(number, stop)
        perform_all(runner, runs)
    except Stopped as reason:
        runner.stop(signal.Signals(reason.number).name)
        code = 128 + reason.number
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        runner.clean_up(grace=1)
        report.about["seconds"] = round(time.monotonic() - began, 3)
        report.write()
        shutil.rmtree(runner.home, ignore_errors=True)
    print(", ".join(f"{report.count(status)} {status}" for status in ("ok", "failed", "skipped", "not reached")) + f"; {arguments.out}", flush=True)
    for line in criteria.table(report.checks):
        print(line, flush=True)
    return code or (1 if report.count("failed") else 0 if report.complete() else INCOMPLETE)


if __name__ == "__main__":
    sys.exit(main())
