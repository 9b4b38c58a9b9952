#!/usr/bin/env python3
"""Stands for the machine's nvidia-smi, compute-sanitizer and ncu, and behaves as FOLDER/scenario.json says."""
import json
import os
import pathlib
import subprocess
import sys
import time

FOLDER = pathlib.Path(os.environ["TMPDIR"], "pack")
SCENARIO = json.loads((FOLDER / "scenario.json").read_text())
NAME, WORDS = pathlib.Path(sys.argv[0]).name, sys.argv[1:]


def rows(query):
    """What one look at the machine shows."""
    if query.startswith("--query-compute-apps"):
        pid, used = FOLDER / "worker.pid", SCENARIO.get("process MiB", 1000)
        return [f"{pid.read_text()}, {used}"] if pid.exists() and used is not None else []
    if query == "--query-gpu=memory.used":
        return [str(500 + (SCENARIO.get("total MiB", 1000) if (FOLDER / "worker.pid").exists() else 0))]
    return ["2026/01/01 00:00:00.000, 345 MHz, 90.00 W, 40", "2026/01/01 00:00:00.200, 1500 MHz, 650.50 W, 61",
            "2026/01/01 00:00:00.400, 1980 MHz, 600.00 W, 60"]


def nvidia_smi():
    if WORDS in (["-q"], ["topo", "-m"]):
        print("    Driver Version  : 1.2")
        return 0
    while True:
        print("\n".join(rows(WORDS[0])))
        if "-lms" not in WORDS:
            return 0
        sys.stdout.flush()
        time.sleep(0.02)


def target():
    """Runs what stands after the options."""
    sys.stdout.flush()
    return subprocess.run(WORDS[WORDS.index("/usr/bin/env"):]).returncode


def compute_sanitizer():
    if WORDS == ["--help"]:
        print(SCENARIO.get("sanitizer help", "  --kernel-name-exclude arg  regex=..."))
        return 0
    print(f"ld={os.environ['LD_LIBRARY_PATH']}\n{' '.join(WORDS)}\n========= COMPUTE-SANITIZER")
    code, errors = target(), SCENARIO.get("sanitizer errors", 0)
    for _ in range(errors):
        print("========= Invalid __global__ read of size 4 bytes\n=========     at select(int)+0x10 in select.cuh:12")
    print(f"========= ERROR SUMMARY: {errors} error{'s' * (errors != 1)}")
    return 99 if errors else code


def ncu():
    if words := SCENARIO.get("ncu refuses"):
        print(f"==ERROR== {words}")
        return 1
    code = target()
    print('==PROF== Disconnected\n"ID","Process ID","Kernel Name","Metric Name","Metric Unit","Metric Value"')
    kernels = (("void saemill::<unnamed>::select<4, 2>(const float *)", "1,500"), ("void saemill::<unnamed>::select<8, 2>(const float *)", "500"),
               ("nvjet_tst_128", "6000"))
    for number, (name, nanoseconds) in enumerate(kernels):
        for metric, unit, value in (("gpu__time_duration.sum", "ns", nanoseconds), ("launch__registers_per_thread", "register/thread", 64 + number),
                                    ("dram__throughput.avg.pct_of_peak_sustained_elapsed", "%", 40 + 20 * number),
                                    ("sm__warps_active.avg.pct_of_peak_sustained_active", "%", "n/a" if number == 2 else 50)):
            print(f'"{number}","7","{name}","{metric}","{unit}","{value}"')
    return code


if __name__ == "__main__":
    sys.exit({"nvidia-smi": nvidia_smi, "compute-sanitizer": compute_sanitizer, "ncu": ncu}[NAME]())
