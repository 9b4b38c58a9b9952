"""Nsight Compute over a few steps: what each kernel takes, and what limits it."""
import csv
import glob

from gpu_check import libraries
from gpu_check.runner import HERE, Failed, Skipped, TimeUp, exit_words, last_lines

TIME, DRAM = "gpu__time_duration.sum", "dram__throughput.avg.pct_of_peak_sustained_elapsed"
REGISTERS, WARPS = "launch__registers_per_thread", "sm__warps_active.avg.pct_of_peak_sustained_active"
MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}


def find_tool():
    return libraries.tool("ncu", *sorted(glob.glob("/usr/local/cuda*/bin"), reverse=True))


def check_profile(runner, shape, seconds):
    path = find_tool()
    if not path:
        raise Skipped("absent: this machine has no ncu")
    variables = [f"{key}={value}" for key, value in runner.environment.items()]
    command = [path, "--clock-control", "none", "--print-units", "base", "--target-processes", "all",
               "--metrics", ",".join((TIME, DRAM, REGISTERS, WARPS)), "--csv", libraries.tool("env"), *variables, str(HERE / "bin/saemill-worker"),
               "bench", "step", "--devices", "gpu:0", "--shape", shape, "--same-batch", "--warmup", "0", "--repeats", "1", "--no-floors", "--json"]
    done = runner.call(command, runner.machine_environment(), seconds=seconds)
    if done.late and runner.time_is_up():
        raise TimeUp()
    kernels = by_kernel(launches(done.text))
    if not kernels and not done.late and ("ERR_NVGPUCTRPERM" in done.text or "==ERROR==" in done.text):
        words = " | ".join(line for line in done.text.splitlines() if line.startswith("==ERROR=="))
        raise Skipped(f"refused ({exit_words(done)}): {words or last_lines(done.text)}", {"of": runner.kind})
    if not kernels or done.late or done.code != 0:
        raise Failed(f"ncu: {exit_words(done)}: {last_lines(done.text)}", {"kernels": kernels})
    most = ", ".join(f"{kernel['name']} {kernel['share']:.0%}" for kernel in kernels[:4])
    return f"{len(kernels)} kernels: {most}", {"kernels": kernels}


def value_of(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def launches(text):
    """[{"name": ..., metric: value}], times in microseconds."""
    found = {}
    for row in csv.DictReader(line for line in text.splitlines() if line.startswith('"')):
        metric, value = row.get("Metric Name"), value_of(row.get("Metric Value") or "")
        if metric is None or value is None:
            continue
        value *= MICROSECONDS.get(row["Metric Unit"], 1) if metric == TIME else 1
        found.setdefault((row.get("Process ID"), row["ID"]), {"name": short(row["Kernel Name"])})[metric] = value
    return [launch for launch in found.values() if TIME in launch]


def short(name):
    """Without template arguments and parameters."""
    name = name.removeprefix("void ")
    for unnamed in ("(anonymous namespace)::", "<unnamed>::"):
        name = name.replace(unnamed, "")
    return name.split("<")[0].split("(")[0]


def by_kernel(all_launches):
    """What takes most first; percentages are means over time."""
    groups = {}
    for launch in all_launches:
        groups.setdefault(launch["name"], []).append(launch)
    whole = sum(launch[TIME] for launch in all_launches)

    def mean(group, metric):
        told = [(launch[metric], launch[TIME]) for launch in group if metric in launch]
        time = sum(weight for _, weight in told)
        return round(sum(value * weight for value, weight in told) / time, 2) if time else None

    found = [{"name": name, "count": len(group), "us": round(sum(launch[TIME] for launch in group), 2),
              "share": round(sum(launch[TIME] for launch in group) / whole, 4), "dram_percent": mean(group, DRAM),
              "registers": max((launch[REGISTERS] for launch in group if REGISTERS in launch), default=None),
              "active_warps_percent": mean(group, WARPS)} for name, group in groups.items()]
    return sorted(found, key=lambda kernel: -kernel["us"])
