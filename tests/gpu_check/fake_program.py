#!/usr/bin/env python3
"""Stands for every program of a packed folder: writes down how it was called, and behaves as FOLDER/scenario.json says.

{NAME: {"does": ..., "gpus": N}}; NAME is a program's, or a program's with its first words, or that of one test."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

FOLDER = pathlib.Path(os.environ.get("SAEMILL_SOURCE_DIR") or pathlib.Path(__file__).resolve().parent.parent)
SCENARIO = json.loads((FOLDER / "scenario.json").read_text())
NAME, WORDS = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
TESTS = ["First.Works", "First.HasMore/of_it", "Second.Works"]


def value(word):
    return WORDS[WORDS.index(word) + 1]


def misbehave(what):
    """True where it goes on."""
    if what in ("crash", "cut"):
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        time.sleep(1000)
    if what == "hang on":  # a child in a session of its own, both deaf to SIGTERM
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        time.sleep(1000)
    if what == "poison":
        print("error: illegal address")
        return False
    return what != "fail"


def run_tests():
    if "--gtest_list_tests" in WORDS:
        print("Running main() from x.cc\nFirst.\n  Works\n  HasMore/of_it  # GetParam() = 1\nSecond.\n  Works\n  DISABLED_Not")
        return 0
    wanted = next((word.split("=")[1] for word in WORDS if word.startswith("--gtest_filter=")), None)
    wanted = wanted.split(":") if wanted and wanted.startswith(("First.", "Second.")) else None
    code = poisoned = 0
    for test in [test for test in TESTS if not wanted or test in wanted]:
        what = SCENARIO.get(test, {}).get("does")
        alone = SCENARIO.get(test, {}).get("alone", what)
        print(f"[ RUN      ] {test}", flush=True)
        if what == "skip":
            print(f"[  SKIPPED ] {test} (0 ms)")
        elif misbehave(alone if wanted else what) and not poisoned:
            print(f"text without an end[       OK ] {test} (1 ms)")
        else:
            code, poisoned = 1, poisoned or what == "poison"
            print(f"x.cpp:1: Failure\n[  FAILED  ] {test}, where GetParam() = 1 (1 ms)")
    print(f"[==========] {len(TESTS)} tests ran.\n[  FAILED  ] First.Works", flush=True)
    return code


def train():
    out = pathlib.Path(value("--out"))
    (out / "logs").mkdir(parents=True)
    (out / "logs/rank-0.log").write_text("what rank 0 said\n")
    fvu = SCENARIO.get("fvu", 0.2)
    (out / "events.jsonl").write_text(json.dumps({"event": "finished", "report": {"fvu": fvu}}) + "\n")
    if "train.steps=1000000" not in WORDS:
        return SCENARIO.get("train code", 0)
    ranks = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
    (out / "status.json").write_text(json.dumps({"step": 3, "ranks": [{"pid": rank.pid} for rank in ranks]}))
    ranks[1].wait()
    ranks[0].kill()
    return SCENARIO.get("killed code", 75)


def bench():
    print("a warning\n", file=sys.stderr)
    if WORDS[1] == "step":
        time.sleep(0.2)  # so that nvidia-smi has told something
        return {"step_ms": 0.5, "phases": {"select": {"ms": 0.4, "times_floor": 1.6}, "data_wait": {"ms": SCENARIO.get("data_wait", 0.004), "host": True}},
                "over_floor": ["select"]}
    if WORDS[1] == "memory":
        (FOLDER / "worker.pid").write_text(str(os.getpid()))
        time.sleep(0.5)
        (FOLDER / "worker.pid").unlink()
        return {"plan": {"host_bytes": 0, "device_bytes": SCENARIO.get("plan MiB", 900) << 20}}
    if WORDS[1] == "select":
        usual = {"chunk_mb": 128, "algorithm": 0, "gemm_ms": 0.4, "select_ms": 0.5, "both_ms": 0.9}
        best = {"chunk_mb": 64, "algorithm": 2, "gemm_ms": 0.3, "select_ms": 0.4, "both_ms": 0.6}
        return {"points": [usual, best], "default": usual, "best": best}
    return {"note": "nothing measured"}


def estimate():
    if "--calibrate" in WORDS:
        (FOLDER / "calibrated").touch()
        return {"calibrated": [{"context": 500_000_000}]}
    return {"devices": [{"memory_required": SCENARIO.get("estimate MiB", 1020) << 20}], "context_measured": (FOLDER / "calibrated").exists()}


def main():
    with open(FOLDER / "calls.jsonl", "a") as calls:
        calls.write(json.dumps([NAME, *WORDS]) + "\n")
    misbehave(SCENARIO.get(" ".join([NAME, *WORDS[:2]]), SCENARIO.get(NAME, {})).get("does"))
    gpus = [{"name": "fake GPU", "uuid": "GPU-1"}] * SCENARIO.get("gpus", 1)
    if "test" in NAME or NAME.endswith("_gpu"):
        return run_tests()
    if WORDS[0] == "train":
        return train()
    answers = {"devices": lambda: {"problem": "", "gpus": gpus}, "bench": bench, "doctor": lambda: {"ok": True, "checks": []},
               "gpus": lambda: {"gpu_count": len(gpus), "gpus": gpus}, "estimate": estimate,
               "--nvml": lambda: {"watch": [{"devices": len(gpus), "samples": 5, "sample_ms": 1.0, "sample_ms_max": 2.0, "sampler_cpu_percent": 0.1}]}}
    print("not JSON\n" + json.dumps(answers[WORDS[0]]()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
