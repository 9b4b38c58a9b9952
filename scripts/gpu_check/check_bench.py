"""Benchmarks: of a step, of ranks together, of the encoder's ways, and of the dense program beside."""
import sys

from gpu_check.runner import Skipped
from gpu_check.watch import with_clocks

# batch, d_in, d_sae, k: milliseconds of a step, and times dense PyTorch, that are required first
SHAPES = {"4096,768,24576,32": (1.0, 3), "8192,2304,16384,64": (5, 1.5), "8192,4096,131072,64": (30, 3)}


def size_of(shape):
    batch, width, latents, _ = map(int, shape.split(","))
    return batch * width * latents


@with_clocks
def check_step(runner, shape, *more):
    figures = runner.json_of("saemill-worker", "bench", "step", "--devices", "gpu:0", "--shape", shape, *more, "--json")
    figures["required_ms"] = SHAPES.get(shape, (None,))[0]
    late = figures["required_ms"] is not None and figures["step_ms"] > figures["required_ms"]
    over = ", ".join(figures["over_floor"])
    return f"{figures['step_ms']:.3f} ms" + (f", required {figures['required_ms']}" if late else "") + (f"; over 1.3 floors: {over}" if over else ""), figures


@with_clocks
def check_bench(runner, *words):
    """Whatever `bench` can do."""
    figures = runner.json_of("saemill-worker", "bench", *words, "--json")
    return figures.get("note", ""), figures


def check_several(runner, what, *more):
    """On one GPU for each rank."""
    if runner.gpus < 2:
        raise Skipped(f"this machine has {runner.gpus} GPU(s)")
    counts = [2 ** power for power in range(runner.gpus.bit_length()) if 2 ** power < runner.gpus] + [runner.gpus]
    ranks = ",".join(map(str, counts)) if what == "scaling" else str(runner.gpus)
    return check_bench(runner, what, "--devices", "gpu", "--ranks", ranks, *more)


@with_clocks
def check_baseline(runner, shape):
    baseline = runner.arguments.baseline
    if not baseline:
        raise Skipped("no torch_sae.py: neither --baseline names it nor is it in the packed folder (scripts/gpu-check --pack --baseline FILE)")
    command = [sys.executable, str(baseline), "bench", "--shape", shape, "--device", "cuda", "--dtype", "bf16", "--repeats", "20", "--warmup", "5"]
    done = runner.call(command, runner.machine_environment(), apart=True)
    dense = runner.parsed(runner.checked(done, baseline.name), baseline.name)
    ours = runner.report.checks.get(f"bench/step/{shape}/same-batch")
    times = dense["step_ms"] / ours["figures"]["step_ms"] if ours and ours["status"] == "ok" else None
    figures = {"dense": dense, "times_dense": times, "required_times": SHAPES.get(shape, (None, None))[1]}
    return f"dense {dense['step_ms']:.2f} ms, {f'{times:.2f} times as fast' if times else 'nothing to compare with'}", figures


def both_ms(point):
    """Of the GEMM and the selection together, which share a cache: not always their sum."""
    return point.get("both_ms", point["gemm_ms"] + point["select_ms"])


def point_words(point):
    return (f"{point['chunk_mb']} MiB, algorithm {point['algorithm']}: {both_ms(point):.3f} ms (GEMM {point['gemm_ms']:.3f}, "
            f"selection {point['select_ms']:.3f})")


@with_clocks
def check_select(runner, shape):
    """Which chunk and which algorithm of cuBLASLt the encoder is fastest with."""
    figures = runner.json_of("saemill-worker", "bench", "select", "--shape", shape, "--json")
    best, usual = figures["best"], figures["default"]
    return f"best {point_words(best)}; default {point_words(usual)}; {both_ms(usual) / both_ms(best):.2f} times as fast", figures
