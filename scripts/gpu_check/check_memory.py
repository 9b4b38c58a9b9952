"""What saemill estimate says beside what the driver says of the process."""
import json
import pathlib

from gpu_check.check_machine import calibrate
from gpu_check.runner import Failed, Skipped
from gpu_check.watch import Clocks, Watch, nvidia_smi, number

OFF = 0.05  # of what the driver says
RUNS = 3  # at most: a small training may be over before the driver is asked at its most
MEBIBYTE = 1 << 20
PROCESSES = ("--query-compute-apps=pid,used_gpu_memory", "--format=csv,noheader,nounits", "-lms", "50")
TOTAL = ("--query-gpu=memory.used", "--format=csv,noheader,nounits")


def configuration(runner, shape):
    """A file of the training that `bench memory` makes of a shape; what is not named are the defaults of both."""
    batch, width, latents, k = map(int, shape.split(","))
    path = pathlib.Path(runner.home, "estimate.json")
    path.write_text(json.dumps({"activations": {"d_in": width},
                                "sae": {"architecture": "topk", "d_sae": latents, "k": k, "decoder_bias_init": "zeros"},
                                "train": {"batch_size": batch, "dtype": "bf16", "steps": 1, "lr": 1e-4}}))
    return path


def estimated(runner, shape):
    """With this machine's own constants, also where an earlier run has measured them: they were in its folder."""
    words = ("saemill", "estimate", configuration(runner, shape), "--devices", "gpu:0", "--json")
    told = runner.json_of(*words)
    if told.get("context_measured", True) or runner.calibrated is not None:
        return told
    try:
        calibrate(runner)
    except (Failed, Skipped):
        return told
    return runner.json_of(*words)


def total(runner):
    """Bytes that the driver says are in use on gpu:0, by all together."""
    told = runner.call([nvidia_smi(), *TOTAL, *first_gpu(runner)], runner.machine_environment(), seconds=10).text
    found = number(told.strip().splitlines()[-1]) if told.strip() else None
    if found is None:
        raise Skipped(f"nvidia-smi does not tell the memory in use: {told.strip()[:200]}")
    return found * MEBIBYTE


def first_gpu(runner):
    return ["-i", runner.devices[0]["uuid"]] if runner.devices and "uuid" in runner.devices[0] else []


def bench_memory(runner, shape):
    """(bench's figures, bytes of the process or None, bytes of all beyond what was there before)"""
    before = total(runner)
    with Watch(runner, "processes.csv", (*PROCESSES, *first_gpu(runner))) as apps, \
            Watch(runner, "total.csv", (*TOTAL, "-lms", "50", *first_gpu(runner))) as sums, Clocks(runner) as clocks:
        pid, done = runner.program_and_pid("saemill-worker", "bench", "memory", "--devices", "gpu:0", "--shape", shape, "--json")
        figures = runner.parsed(runner.checked(done, "saemill-worker"), "saemill-worker")
    figures["clocks"] = clocks.told()
    own = [number(row[1]) for row in apps.rows() if len(row) == 2 and row[0] == str(pid)]
    own = [value * MEBIBYTE for value in own if value is not None]
    all_together = [value * MEBIBYTE for value in (number(row[0]) for row in sums.rows() if row) if value is not None]
    return figures, max(own, default=None), max(all_together, default=before) - before


def measured(runner, shape):
    own = sums = None
    for _ in range(RUNS):
        figures, of_process, difference = bench_memory(runner, shape)
        own = max(filter(None, (own, of_process)), default=None)
        sums = max(filter(None, (sums, difference)), default=None)
        if (own or sums or 0) >= figures["plan"]["device_bytes"]:
            break
    return figures, own, sums


def check_memory(runner, shape):
    if not nvidia_smi():
        raise Skipped("absent: this machine has no nvidia-smi")
    estimate = estimated(runner, shape)
    required = estimate["devices"][0]["memory_required"]
    figures, own, sums = measured(runner, shape)
    driver = own or sums
    if not driver:
        raise Failed("nvidia-smi shows no memory in use by the training", figures)
    reason = "" if own else "by the total's difference, since nvidia-smi does not list the process (a container); "
    assumed = "" if estimate.get("context_measured", True) else "; the context is assumed, not measured"
    ratio = required / driver
    figures = {**figures, "memory_required": required, "driver_bytes": driver, "ratio": ratio, "by": "process" if own else "total",
               "estimate": estimate}
    message = f"{reason}estimate {required / 1e6:.0f} MB, driver {driver / 1e6:.0f} MB: {100 * (ratio - 1):+.1f} %{assumed}"
    if abs(ratio - 1) > OFF:
        raise Failed(f"{message}; at most {OFF:.0%} are accepted", figures)
    return message, figures
