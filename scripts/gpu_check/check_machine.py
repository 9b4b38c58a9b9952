"""The machine: its libraries and devices, and what saemill says of them."""
import platform

from gpu_check import libraries
from gpu_check.runner import MANIFEST, Failed, Skipped, last_lines


def libc_words():
    newer = " (Debian 12, Ubuntu 24.04 or newer)" if MANIFEST["libc"] == "2.36" else ""
    return f"glibc {MANIFEST['libc']} or newer{newer}"


def check_libraries(runner):
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < tuple(map(int, MANIFEST["libc"].split("."))):
        raise Failed(f"these programs need {libc_words()}; this machine has {name or 'another libc'} {version}".strip()
                     + ". Pack a tree that was built on a system as old as this one, or run in a newer container")
    cublas = libraries.CUBLAS
    found = {library: libraries.find(library) for library in (cublas, "libcuda.so.1", "libnvidia-ml.so.1", "libnccl.so.2")}
    if not found[cublas]:
        raise Failed(f"{cublas} is missing: install CUDA 13's cuBLAS (package libcublas-13-*, or python's nvidia-cublas), or give its folder "
                     "in LD_LIBRARY_PATH", found)
    return f"{cublas} in {found[cublas]}", found


def check_devices(runner):
    told = runner.json_of("saemill-worker", "devices")
    if told["problem"]:
        raise Failed(told["problem"], told)
    runner.devices = told["gpus"]
    return ", ".join(gpu["name"] for gpu in told["gpus"]), told


def check_nvidia_smi(runner):
    path = libraries.tool("nvidia-smi", "/usr/local/nvidia/bin")
    if not path:
        raise Skipped("absent: this machine has no nvidia-smi")
    if runner.gpus > 1:
        runner.call([path, "topo", "-m"], runner.machine_environment())
    done = runner.call([path, "-q"], runner.machine_environment())
    runner.checked(done, "nvidia-smi")
    wanted = ("Product Name", "Driver Version", "CUDA Version", "MIG Mode", "Persistence Mode", "Compute Mode", "VBIOS Version")
    fields = [line.split(":", 1) for line in done.text.splitlines() if ":" in line]
    figures = {key.strip(): value.strip() for key, value in reversed(fields) if key.strip() in wanted}
    return f"driver {figures.get('Driver Version', '?')}, CUDA {figures.get('CUDA Version', '?')}", figures


def check_doctor(runner):
    """Its exit code is 1 where something fails; it says what."""
    done = runner.program("saemill", "doctor", "--json", apart=True)
    if done.late or done.code not in (0, 1):
        runner.checked(done, "saemill doctor")
    told = runner.parsed(done.text, "saemill doctor")
    bad = [f"{check['id']}: {check['message']}" for check in told["checks"] if check["status"] in ("warning", "failed")]
    if not told["ok"]:
        raise Failed("; ".join(bad), told)
    return "; ".join(bad), told


def differs(runner, count):
    """NVML's number of GPUs from CUDA's, which may have been told to see fewer."""
    return count != runner.gpus and "CUDA_VISIBLE_DEVICES" not in runner.environment


def check_gpus(runner):
    told = runner.json_of("saemill", "gpus", "--json")
    if differs(runner, told["gpu_count"]):
        raise Failed(f"saemill gpus shows {told['gpu_count']}; CUDA shows {runner.gpus}", told)
    return f"{told['gpu_count']} GPU(s)", told


def calibrate(runner):
    """Into the run's own folder, where estimates find it."""
    runner.calibrated = False
    done = runner.program("saemill", "estimate", "--calibrate", "--devices", "gpu:0", "--json", apart=True)
    if done.code == 75 and "--pid=host" in runner.log_end():
        raise Skipped(f"refused: {last_lines(runner.log_end(), 1)}")
    told = runner.parsed(runner.checked(done, "saemill estimate"), "saemill estimate")
    runner.calibrated = True
    return told


def check_calibrate(runner):
    told = calibrate(runner)
    return f"context {told['calibrated'][0]['context'] / 1e6:.1f} MB", told


def check_monitor_cost(runner):
    """With the machine's own driver; the program's other figures want the fake one, so its exit code says nothing here."""
    folder = libraries.find("libnvidia-ml.so.1")
    if not folder:
        raise Skipped("absent: this machine has no libnvidia-ml.so.1")
    done = runner.program("monitor_cost", "--nvml", f"{folder}/libnvidia-ml.so.1", "--seconds", "5", "--json", apart=True)
    if done.late or done.code not in (0, 1):
        runner.checked(done, "monitor_cost")
    told = runner.parsed(done.text, "monitor_cost")
    row = told["watch"][0]
    if differs(runner, row["devices"]) or row["samples"] < 2:
        raise Failed(f"{row['samples']} samples of {row['devices']} devices; CUDA shows {runner.gpus}", told)
    return f"a sample {row['sample_ms']:.2f} ms, at most {row['sample_ms_max']:.2f}; {row['sampler_cpu_percent']:.2f} % of a core", told


def check_start(runner, words, code, text):
    """A program starts, finds that it has no device, says so and ends as it should."""
    done = runner.program(*words)
    if done.code != code or done.late:
        raise Failed(f"exit code {done.code} instead of {code}: {last_lines(done.text)}")
    if text not in done.text:
        raise Failed(f"does not say '{text}': {last_lines(done.text)}")
    return next(line for line in done.text.splitlines() if text in line).strip(), None
