"""Trainings of the example: on one GPU, on several, and with a rank that is killed."""
import json
import os
import pathlib
import signal
import time

from gpu_check import processes
from gpu_check.runner import HERE, MANIFEST, Failed, Skipped, TimeUp, last_lines

FVU_TOLERANCE = 0.01
ENDLESS = 1_000_000
END_WITHIN = 15  # seconds from a rank's death to the launcher's exit code 75


def words(out, devices, dtype, steps):
    return ["saemill", "train", HERE / "examples/shakespeare.toml", "--progress", "none", "--devices", devices, "--out", out,
            "--set", f"activations.path={HERE / 'examples/activations'}", "--set", f"train.dtype={dtype}", "--set", f"train.steps={steps}"]


def keep_files(runner, out):
    for path in [*sorted(out.glob("logs/rank-*.log*")), out / "events.jsonl", out / "exit.json", out / "status.json"]:
        runner.keep(path)


def new_folder(runner, name):
    return pathlib.Path(runner.home, f"run-{name}")


def check_training(runner, dtype, devices="gpu:0"):
    """`devices` auto:all: on all GPUs."""
    ranks = {"gpu:0": 1, "auto:2": 2}.get(devices, runner.gpus)
    least = {"gpu:0": 1, "auto:2": 2}.get(devices, 3)  # two are the part before
    if runner.gpus < least:
        raise Skipped(f"this machine has {runner.gpus} GPU(s)")
    out = new_folder(runner, f"{dtype}-{ranks}")
    try:
        done = runner.program(*words(out, devices.replace("all", str(ranks)), dtype, MANIFEST["steps"]))
        runner.checked(done, "saemill train")
        return compare(out, dtype)
    except BaseException:  # also where the run is stopped
        keep_files(runner, out)
        raise


def compare(out, dtype):
    expected = MANIFEST["cpu_fvu"][dtype] or MANIFEST["cpu_fvu"]["f32"]
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    report = next(event["report"] for event in events if event["event"] == "finished")
    figures = {"fvu": report["fvu"], "cpu_fvu": expected, "steps": MANIFEST["steps"], "report": report}
    message = f"FVU {report['fvu']:.5f}, on the CPU of the machine that packed {expected:.5f}"
    if not abs(report["fvu"] / expected - 1) <= FVU_TOLERANCE:  # also no number
        raise Failed(f"{message}: more than {FVU_TOLERANCE:.0%} apart", figures)
    return message, figures


def pid_of_rank(out, rank):
    """Once it has made a step; None before."""
    try:
        status = json.loads((out / "status.json").read_text())
        return status["ranks"][rank]["pid"] if status["step"] > 0 else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def check_killed_rank(runner):
    if runner.gpus < 2:
        raise Skipped(f"this machine has {runner.gpus} GPU(s)")
    out = new_folder(runner, "killed")
    try:
        return kill_a_rank(runner, out)
    except BaseException:  # also where the run is stopped
        keep_files(runner, out)
        raise


def kill_a_rank(runner, out):
    with runner.packed(*words(out, "auto:2", "bf16", ENDLESS)) as running:
        while not (victim := pid_of_rank(out, 1)):
            if runner.end - time.monotonic() < END_WITHIN:
                raise TimeUp()
            if processes.has_ended(running.process, 0.1):
                raise Failed(f"exit code {running.process.returncode} before a step was made: {last_lines(running.text())}")
            if runner.left() < END_WITHIN:
                raise Failed(f"no step was made: {last_lines(running.text())}")
        os.kill(victim, signal.SIGKILL)
        start = time.monotonic()
        if not processes.has_ended(running.process, END_WITHIN):
            raise Failed(f"goes on {END_WITHIN} s after rank 1 was killed")
        seconds, code = time.monotonic() - start, running.process.returncode
    figures = {"seconds": seconds, "code": code}
    if code != 75:
        raise Failed(f"exit code {code} instead of 75 after rank 1 was killed", figures)
    return f"exit code 75 after {seconds:.1f} s", figures
