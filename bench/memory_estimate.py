#!/usr/bin/env python3
"""What `saemill estimate` says beside what the ranks of a CPU training hold: RssAnon of each, and RssShmem, which
they share, once. The peak over the run, looked at every 10 ms; the kernel's own counts lag by up to 64 pages a thread.

  bench/memory_estimate.py --bin build/release/bin [--only TEXT] [--brief] [--json FILE]

Exit code 1 where a run failed; how near the estimate is, is printed and not judged."""
import argparse
import array
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time

# d_in, d_sae, k, batch, architecture, dtype, ranks, more keys
CONFIGURATIONS = [
    (768, 24576, 32, 4096, "topk", "bf16", 1, {}),
    (768, 24576, 32, 4096, "topk", "bf16", 2, {}),
    (768, 24576, 32, 4096, "topk", "f32", 1, {}),
    (768, 24576, 32, 4096, "topk", "f32", 4, {}),
    (768, 24576, 32, 4096, "relu", "bf16", 1, {}),
    (768, 16384, 64, 8192, "topk", "bf16", 2, {}),
    (768, 12288, 32, 4096, "topk", "bf16", 1, {"train.micro_batch_size": 1024}),
    (768, 12288, 32, 4096, "topk", "f32", 2, {"train.clip_norm": 1.0}),
    (1024, 8192, 32, 4096, "topk", "bf16", 1, {}),
    (1024, 8192, 32, 4096, "relu", "f32", 2, {}),
    (512, 8192, 64, 8192, "topk", "bf16", 1, {}),
    (512, 8192, 64, 8192, "topk", "bf16", 2, {}),
    (512, 8192, 64, 8192, "topk", "f32", 4, {}),
    (512, 4096, 16, 16384, "topk", "bf16", 1, {}),
    (256, 8192, 32, 4096, "topk", "f32", 1, {"sae.aux_k": 256, "sae.dead_after": 1}),
    (256, 8192, 32, 4096, "topk", "f32", 2, {"sae.aux_k": 256, "sae.dead_after": 1}),
    (256, 4096, 32, 4096, "relu", "bf16", 1, {}),
    (256, 4096, 32, 4096, "relu", "f32", 2, {}),
    (256, 2048, 32, 8192, "topk", "bf16", 4, {}),
    (256, 2048, 32, 2048, "topk", "f32", 1, {}),
]
BRIEF = [(64, 1024, 8, 512, "topk", "f32", 1, {}), (64, 1024, 8, 512, "topk", "bf16", 2, {})]


def write_activations(path, rows, d_in):
    generator = random.Random(0)
    block = array.array("f", (generator.gauss(0, 1) for _ in range(64 * d_in + 997)))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {d_in}), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        for row in range(rows):
            begin = row * 61 % (len(block) - d_in)
            file.write(block[begin:begin + d_in].tobytes())


def held(pid):
    """RssAnon and RssShmem in bytes; zeros where the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return sizes.get("RssAnon", 0), sizes.get("RssShmem", 0)


def ranks_of(launcher):
    try:
        return pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    except OSError:
        return []


def peak_of(command):
    process = subprocess.Popen(command)
    peak = 0
    while process.poll() is None:
        sizes = [held(pid) for pid in ranks_of(process.pid)]
        peak = max(peak, sum(own for own, _ in sizes) + max((shared for _, shared in sizes), default=0))
        time.sleep(0.01)
    return process.returncode, peak


def measure(saemill, folder, configuration):
    d_in, d_sae, k, batch, architecture, dtype, ranks, more = configuration
    activations = folder / f"activations_{d_in}_{batch}.npy"
    if not activations.exists():
        write_activations(activations, 2 * batch, d_in)
    keys = {"activations.path": activations, "sae.architecture": architecture, "sae.d_sae": d_sae, "sae.k": k,
            "train.batch_size": batch, "train.dtype": dtype, "train.steps": 4, "checkpoint.every_steps": 2, **more}
    if architecture != "topk":
        del keys["sae.k"]
    (folder / "empty.toml").write_text('name = "memory"\n')
    words = [str(folder / "empty.toml"), "--devices", ",".join(f"cpu:{rank}" for rank in range(ranks))]
    for key, value in keys.items():
        words += ["--set", f"{key}={value}"]
    estimate = json.loads(subprocess.run([saemill, "estimate", *words, "--json"], check=True,
                                         capture_output=True).stdout)["total_memory"]
    out = tempfile.mkdtemp(dir=folder)
    code, peak = peak_of([saemill, "train", *words, "--out", out + "/run", "--progress", "none"])
    subprocess.run(["rm", "-rf", out], check=True)
    name = f"{d_in},{d_sae},{k if architecture == 'topk' else '-'} B={batch} {architecture} {dtype} N={ranks}"
    name += "".join(f" {key}={value}" for key, value in more.items())
    return {"name": name, "exit_code": code, "estimate": estimate, "held": peak,
            "difference_percent": round(100 * (estimate / peak - 1), 2) if peak else None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--only", default="", help="configurations whose name has this in it")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    saemill = str(pathlib.Path(options.bin).resolve() / "saemill")
    results = []
    print(f"{'estimate MB':>12} {'held MB':>10} {'off %':>7}  configuration")
    with tempfile.TemporaryDirectory() as folder:
        for configuration in BRIEF if options.brief else CONFIGURATIONS:
            if options.only not in str(configuration):
                continue
            result = measure(saemill, pathlib.Path(folder), configuration)
            results.append(result)
            print(f"{result['estimate'] / 1e6:12.1f} {result['held'] / 1e6:10.1f} "
                  f"{result['difference_percent'] or 0:+7.1f}  {result['name']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    worst = max((abs(result["difference_percent"] or 100) for result in results), default=0)
    print(f"{len(results)} configurations, at most {worst:.1f} % off")
    return 1 if not results or any(result["exit_code"] or not result["held"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
