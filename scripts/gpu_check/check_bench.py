"""Benchmarks: of a step, of ranks together, of what they hold, and of the dense program beside."""
import sys

from gpu_check.runner import Skipped

# batch, d_in, d_sae, k: milliseconds of a step, and times dense PyTorch, that are required first
SHAPES = {"4096,768,24576,32": (1.0, 3), "8192,2304,16384,64": (5, 1.5), "8192,4096,131072,64": (30, 3)}


def size_of(shape):
    batch, width, latents, _ = map(int, shape.split(","))
    return batch * width * latents


def check_step(runner, shape, *more):
    figures = runner.json_of("saemill-worker", "bench", "step", "--devices", "gpu:0", "--shape", shape, *more, "--json")
    figures["required_ms"] = SHAPES.get(shape, (None,))[0]
    late = figures["required_ms"] is not None and figures["step_ms"] > figures["required_ms"]
    over = ", ".join(figures["over_floor"])
    return f"{figures['step_ms']:.3f} ms" + (f", required {figures['required_ms']}" if late else "") + (f"; over 1.3 floors: {over}" if over else ""), figures


def check_bench(runner, *words):
    figures = runner.json_of("saemill-worker", "bench", *words, "--json")
    return figures.get("note", ""), figures


def check_several(runner, what, *more):
    """On one GPU for each rank."""
    if runner.gpus < 2:
        raise Skipped(f"this machine has {runner.gpus} GPU(s)")
    counts = [2 ** power for power in range(runner.gpus.bit_length()) if 2 ** power < runner.gpus] + [runner.gpus]
    ranks = ",".join(map(str, counts)) if what == "scaling" else str(runner.gpus)
    return check_bench(runner, what, "--devices", "gpu", "--ranks", ranks, *more)


def check_baseline(runner, shape):
    baseline = runner.arguments.baseline
    if not baseline:
        raise Skipped("no --baseline torch_sae.py")
    command = [sys.executable, str(baseline), "bench", "--shape", shape, "--device", "cuda", "--dtype", "bf16", "--repeats", "20", "--warmup", "5"]
    done = runner.call(command, runner.machine_environment(), apart=True)
    dense = runner.parsed(runner.checked(done, baseline.name), baseline.name)
    ours = runner.report.checks.get(f"bench/step/{shape}/same-batch")
    times = dense["step_ms"] / ours["figures"]["step_ms"] if ours and ours["status"] == "ok" else None
    figures = {"dense": dense, "times_dense": times, "required_times": SHAPES.get(shape, (None, None))[1]}
    return f"dense {dense['step_ms']:.2f} ms, {f'{times:.2f} times as fast' if times else 'nothing to compare with'}", figures
