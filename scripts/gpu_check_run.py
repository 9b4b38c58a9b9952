#!/usr/bin/env python3
"""Runs the checks of a folder that scripts/gpu-check packed, and writes one JSON report.

  FOLDER/run --out REPORT.json [--dry-run] [--baseline torch_sae.py]

Needs an x86-64 Linux with NVIDIA's driver and CUDA 13's cuBLASLt; compute-sanitizer, NCCL and PyTorch where they are.
"""
import argparse
import glob
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MANIFEST = json.loads((HERE / "gpu-check.json").read_text())
CUBLAS = "libcublasLt.so.13"
# batch, d_in, d_sae, k: milliseconds of a step, and times dense PyTorch, that are required first
SHAPES = {"8192,4096,131072,64": (30, 3), "8192,2304,16384,64": (5, 1.5), "4096,768,24576,32": (1.0, 3)}
FVU_TOLERANCE = 0.01
NO_CPU = "oneDNN has no"  # what a CPU rank says where oneDNN is not packed


class Skipped(Exception):
    pass


class Failed(Exception):
    def __init__(self, message, figures=None):
        super().__init__(message)
        self.figures = figures


def library_folders():
    """Where CUDA's libraries usually lie."""
    places = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    places += sorted(glob.glob("/usr/local/cuda*/lib64") + glob.glob("/usr/local/cuda*/targets/x86_64-linux/lib") + glob.glob("/opt/cuda*/lib64"),
                     reverse=True)
    places += ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib/x86_64-linux-gnu", "/lib64"]
    for folder in sys.path:  # wheels of NVIDIA, as PyTorch installs them
        places += sorted(glob.glob(f"{folder}/nvidia/*/lib"))
    return [place for place in dict.fromkeys(places) if place]


def find_library(name):
    return next((place for place in library_folders() if os.path.exists(os.path.join(place, name))), None)


class Runner:
    def __init__(self, arguments):
        self.dry = arguments.dry_run
        self.baseline = arguments.baseline
        self.shapes = arguments.shapes
        self.checks = []
        self.home = tempfile.mkdtemp(prefix="saemill-gpu-check-")
        cuda = [find_library(name) for name in (CUBLAS, "libnccl.so.2", "libcuda.so.1", "libnvidia-ml.so.1")]
        # The system's own folders are searched anyway, and before the packed libraries they would hide these.
        system = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib/x86_64-linux-gnu", "/lib64")
        self.environment = {"LD_LIBRARY_PATH": ":".join([str(HERE / "lib")] + [p for p in dict.fromkeys(cuda) if p and p not in system])}
        self.environment["SAEMILL_SOURCE_DIR"] = str(HERE)  # where tests find what they compare with
        if self.dry:
            self.environment["CUDA_VISIBLE_DEVICES"] = "-1"  # no device is called, also where there is one
        else:
            self.environment.update(HOME=self.home, TMPDIR=self.home, PATH=os.environ.get("PATH", "/usr/bin:/bin"))
            self.environment.update({key: value for key, value in os.environ.items() if key.startswith(("CUDA_", "NVIDIA_", "NCCL_"))})

    def run(self, *words, timeout=600):
        """Exit code and output of a packed program, in an environment that is empty but for its libraries."""
        command = [str(HERE / "bin" / words[0]), *map(str, words[1:])]
        return self.call(command, self.environment, timeout)

    def call(self, command, environment, timeout):
        try:
            done = subprocess.run(command, env=environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(command)}: not done within {timeout} s")
        return done.returncode, done.stdout.decode(errors="replace")

    def check(self, name, work, *arguments):
        start = time.monotonic()
        status, message, figures = "ok", "", None
        try:
            message, figures = work(*arguments)
        except Skipped as reason:
            status, message = "skipped", str(reason)
        except Failed as reason:
            status, message, figures = "failed", str(reason), reason.figures
        except Exception as error:  # one broken check must not take the others with it
            status, message = "failed", f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - start, 3)
        self.checks.append({"name": name, "status": status, "seconds": seconds, "message": message, "figures": figures})
        print(f"{status:8} {name:34} {seconds:8.1f} s  {message}", flush=True)
        return status == "ok"

    def json_of(self, *words, timeout=600):
        code, text = self.run(*words, timeout=timeout)
        if code != 0:
            raise Failed(f"{' '.join(map(str, words))}: exit code {code}: {last_lines(text)}")
        return json.loads(text.strip().splitlines()[-1])


def last_lines(text, count=6):
    return " | ".join(text.strip().splitlines()[-count:])


def check_libraries(runner):
    name, version = platform.libc_ver()
    if name == "glibc" and tuple(map(int, version.split("."))) < tuple(map(int, MANIFEST["libc"].split("."))):
        raise Failed(f"these programs need glibc {MANIFEST['libc']}; this machine has {version}")
    found = {library: find_library(library) for library in (CUBLAS, "libcuda.so.1", "libnccl.so.2")}
    if not found[CUBLAS]:
        raise Failed(f"{CUBLAS} is missing: install CUDA 13's cuBLAS (package libcublas-13-*, or python's nvidia-cublas), or give its folder "
                     "in LD_LIBRARY_PATH", found)
    return f"{CUBLAS} in {found[CUBLAS]}", found


def check_start(runner, words, code, text):
    """A program starts, finds that it has no device, says so and ends as it should."""
    got, output = runner.run(*words, timeout=120)
    if got != code:
        raise Failed(f"exit code {got} instead of {code}: {last_lines(output)}")
    if text not in output:
        raise Failed(f"does not say '{text}': {last_lines(output)}")
    return next(line for line in output.splitlines() if text in line).strip(), None


def dry_run(runner):
    none = "no NVIDIA"
    for test in MANIFEST["tests"]:
        runner.check(f"start/{test}", check_start, runner, [test], 0, none)
    runner.check("start/saemill-worker", check_start, runner, ["saemill-worker", "devices"], 0, none)
    for command in (["step", "--devices", "gpu:0"], ["scaling", "--devices", "gpu", "--ranks", "2", "--ranks-per-device", "2"]):
        runner.check(f"start/saemill-worker bench {command[0]}", check_start, runner,
                     ["saemill-worker", "bench", *command, "--shape", "128,16,256,4"], 78, none)
    for library in MANIFEST["stand_ins"]:
        if library.startswith("libdnnl"):
            runner.check(f"without/{library}", check_start, runner,
                         ["saemill-worker", "bench", "step", "--shape", "128,16,256,4"], 78, NO_CPU)
    runner.check("start/saemill", check_start, runner, ["saemill", "doctor"], 0, none)


def check_devices(runner):
    told = runner.json_of("saemill-worker", "devices")
    if told["problem"]:
        raise Failed(told["problem"])
    return ", ".join(gpu["name"] for gpu in told["gpus"]), told


def check_tests(runner, program):
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        code, text = runner.run(program, "--gtest_brief=1", f"--gtest_output=json:{report.name}", timeout=900)
        try:
            suites = json.load(open(report.name))["testsuites"]
        except ValueError:
            raise Failed(f"exit code {code}: {last_lines(text)}")
    results = [(f"{suite['name']}.{test['name']}", test) for suite in suites for test in suite["testsuite"]]
    # Some compare with a CPU rank, which has no oneDNN here.
    no_cpu = [name for name, test in results if any(NO_CPU in failure["failure"] for failure in test.get("failures", []))]
    failed = [name for name, test in results if test.get("failures") and name not in no_cpu]
    skipped = [name for name, test in results if test["result"] == "SKIPPED"] + no_cpu
    figures = {"tests": len(results), "passed": len(results) - len(failed) - len(skipped), "skipped": len(skipped),
               "want a CPU rank": no_cpu, "failed": failed}
    if failed or (code != 0 and not no_cpu):
        raise Failed(f"exit code {code}, {len(failed)} failed: {last_lines(text)}", figures)
    if not figures["passed"]:
        raise Skipped(f"all {len(skipped)} tests were: {last_lines(text, 1)}")
    return f"{figures['passed']} passed, {len(skipped)} skipped", figures


def check_training(runner, dtype):
    expected = MANIFEST["cpu_fvu"][dtype] or MANIFEST["cpu_fvu"]["f32"]
    out = pathlib.Path(runner.home, f"run-{dtype}")
    code, text = runner.run("saemill", "train", HERE / "examples/shakespeare.toml", "--progress", "none", "--devices", "gpu:0", "--out", out,
                            "--set", f"activations.path={HERE / 'examples/activations'}", "--set", f"train.dtype={dtype}",
                            "--set", f"train.steps={MANIFEST['steps']}")
    if code != 0:
        raise Failed(f"exit code {code}: {last_lines(text)}")
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    report = next(event["report"] for event in events if event["event"] == "finished")
    figures = {"fvu": report["fvu"], "cpu_fvu": expected, "steps": MANIFEST["steps"], "report": report}
    message = f"FVU {report['fvu']:.5f}, on the CPU of the machine that packed {expected:.5f}"
    if abs(report["fvu"] / expected - 1) > FVU_TOLERANCE:
        raise Failed(f"{message}: more than {FVU_TOLERANCE:.0%} apart", figures)
    return message, figures


def check_cpu_here(runner):
    absent = [name for name in MANIFEST["stand_ins"] if name.startswith("libdnnl")]
    raise Skipped(f"{absent[0]} is not packed; the CPU's FVU is that of the machine that packed")


def check_sanitizer(runner, tool, program):
    path = shutil.which("compute-sanitizer") or next(iter(glob.glob("/usr/local/cuda*/bin/compute-sanitizer")), None)
    if not path:
        raise Skipped("absent: this machine has no compute-sanitizer")
    code, text = runner.call([path, "--tool", tool, "--error-exitcode", "99", str(HERE / "bin" / program), "--gtest_brief=1"], runner.environment, 420)
    summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", text)
    if not summary:
        raise Skipped(f"refused (exit code {code}): {last_lines(text)}")
    if code != 0:
        raise Failed(f"exit code {code}: {last_lines(text, 20)}", {"summary": summary[-1]})
    return summary[-1], {"summary": summary[-1]}


def check_step(runner, shape, more):
    figures = runner.json_of("saemill-worker", "bench", "step", "--devices", "gpu:0", "--shape", shape, "--json", *more)
    figures["required_ms"] = SHAPES.get(shape, (None,))[0]
    late = figures["required_ms"] is not None and figures["step_ms"] > figures["required_ms"]
    over = ", ".join(figures["over_floor"])
    return f"{figures['step_ms']:.3f} ms" + (f", required {figures['required_ms']}" if late else "") + (f"; over 1.3 floors: {over}" if over else ""), figures


def check_bench(runner, *words):
    return "", runner.json_of("saemill-worker", "bench", *words, "--json")


def check_scaling(runner):
    figures = runner.json_of("saemill-worker", "bench", "scaling", "--devices", "gpu", "--ranks", "1,2,4", "--ranks-per-device", "4",
                             "--shape", min(runner.shapes, key=size_of), "--json")
    return figures["note"], figures


def size_of(shape):
    batch, width, latents, _ = map(int, shape.split(","))
    return batch * width * latents


def check_baseline(runner, shape):
    command = [sys.executable, str(runner.baseline), "bench", "--shape", shape, "--device", "cuda", "--dtype", "bf16", "--repeats", "20", "--warmup", "5"]
    code, text = runner.call(command, dict(os.environ), 600)
    if code != 0:
        raise Failed(f"exit code {code}: {last_lines(text)}")
    dense = json.loads(text.strip().splitlines()[-1])
    ours = [check["figures"] for check in runner.checks if check["name"] == f"bench/step/{shape}/same batch" and check["status"] == "ok"]
    times = dense["step_ms"] / ours[0]["step_ms"] if ours else None
    figures = {"dense": dense, "times_dense": times, "required_times": SHAPES.get(shape, (None, None))[1]}
    return f"dense {dense['step_ms']:.2f} ms, {f'{times:.2f} times as fast' if times else 'nothing to compare with'}", figures


def real_run(runner):
    for program in MANIFEST["tests"]:
        runner.check(f"tests/{program}", check_tests, runner, program)
    for dtype in ("bf16", "f32"):
        runner.check(f"training/{dtype}", check_training, runner, dtype)
    runner.check("training/cpu", check_cpu_here, runner)
    for tool in ("memcheck", "racecheck"):
        for program in [name for name in MANIFEST["tests"] if name.startswith("cuda_")]:
            runner.check(f"sanitizer/{tool}/{program}", check_sanitizer, runner, tool, program)
    for shape in runner.shapes:
        runner.check(f"bench/step/{shape}", check_step, runner, shape, [])
        # As the dense program measures: its batch stays where it is.
        runner.check(f"bench/step/{shape}/same batch", check_step, runner, shape, ["--same-batch"])
        if runner.baseline:
            runner.check(f"baseline/{shape}", check_baseline, runner, shape)
        runner.check(f"bench/memory/{shape}", check_bench, runner, "memory", "--devices", "gpu:0", "--shape", shape)
    runner.check("bench/scaling", check_scaling, runner)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-check.json"))
    parser.add_argument("--dry-run", action="store_true", help="everything up to the first call of a device")
    parser.add_argument("--baseline", type=pathlib.Path, help="torch_sae.py, run by this python")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="batch,d_in,d_sae,k of the benchmarks")
    arguments = parser.parse_args()
    if arguments.baseline:
        arguments.baseline = arguments.baseline.resolve()
        if not arguments.baseline.is_file():
            parser.error(f"{arguments.baseline}: is no file")
    runner = Runner(arguments)
    try:
        if runner.check("libraries", check_libraries, runner):
            if runner.dry:
                dry_run(runner)
            elif runner.check("devices", check_devices, runner):
                real_run(runner)
    finally:
        shutil.rmtree(runner.home, ignore_errors=True)
    ok = all(check["status"] != "failed" for check in runner.checks)
    report = {"ok": ok, "dry_run": runner.dry, "machine": {"system": platform.platform(), "libc": " ".join(platform.libc_ver()), "cores": os.cpu_count()},
              "packed": MANIFEST, "checks": runner.checks}
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    count = {status: sum(check["status"] == status for check in runner.checks) for status in ("ok", "failed", "skipped")}
    print(f"{count['ok']} ok, {count['failed']} failed, {count['skipped']} skipped; {arguments.out}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
