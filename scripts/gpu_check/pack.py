"""Puts saemill's programs, GPU tests and the libraries they need into one folder that runs on another machine."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from gpu_check import gtest

LIMIT = 45_000_000
MARK = "gpu-check.json"  # tells a packed folder from others

# Of the system: libc and its parts, which every Linux has, and what belongs to the driver and to CUDA.
LEFT_OUT = re.compile(r"^(ld-linux|linux-vdso|libc\.so|libm\.so|libdl\.so|librt\.so|libpthread\.so|libresolv\.so|libutil\.so"
                      r"|libcu|libnv|libnccl)")
# Large by themselves or by what they need, and never called on a GPU rank: oneDNN multiplies on CPU ranks, libpq reaches
# PostgreSQL, libcrypto makes the server's secrets. A library of the same name takes their place, whose functions say that it is
# not there: oneDNN's return its "unimplemented", which the caller reports as an error; the others' end the program.
STAND_INS = {"libdnnl.so.2": "return 3;", "libpq.so.5": "_exit(78);", "libcrypto.so.3": "_exit(78);"}


class PackError(Exception):
    pass


def output(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise PackError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def programs_of(build):
    folder = build / "bin"
    tests = sorted(path for path in folder.glob("*_gpu_test") if path.name != "engine_gpu_test")  # that one has no device in it
    tests += sorted(folder.glob("*_gpu"))
    programs = [folder / name for name in ("saemill", "saemill-worker", "monitor_cost")]
    for path in programs:
        if not path.is_file():
            raise PackError(f"{path}: is missing; build the tree first (scripts/test, or cmake --build)")
    if not tests:
        raise PackError(f"{folder}: holds no GPU test: this tree was built without CUDA")
    return programs, tests


def check_filters(tests):
    """A test that was renamed would run under compute-sanitizer unasked, or not at all."""
    for path in tests:
        if void := gtest.void_patterns(gtest.SMALL.get(path.name, "*"), output(path, "--gtest_list_tests")):
            raise PackError(f"scripts/gpu_check/gtest.py: {path.name} has no test {', '.join(void)}")


def needed(path):
    return re.findall(r"NEEDED\s+(\S+)", output("objdump", "-p", path))


def libraries_of(programs):
    """{name: path} of what to copy, and {name: (path, users)} of what to replace."""
    copied, replaced, seen = {}, {}, set()
    todo = list(programs)
    while todo:
        user = todo.pop()
        places = dict(re.findall(r"(\S+) => (/\S+)", output("ldd", user)))
        for name in needed(user):
            if LEFT_OUT.match(name):
                continue
            if name not in places:
                raise PackError(f"{user}: needs {name}, which is not found")
            if name in STAND_INS:
                replaced.setdefault(name, (places[name], []))[1].append(user)
            elif name not in seen:
                seen.add(name)
                copied[name] = pathlib.Path(places[name]).resolve()
                todo.append(copied[name])
    return copied, replaced


def symbols(path, which):
    return {line.split()[-1].split("@")[0] for line in output("nm", "-D", which, path).splitlines() if line.strip()}


def versions_of(users, wanted):
    """Of the symbols, as the users ask for them; where a library has none, none."""
    asked = [line.split()[-1].split("@") for user in users for line in output("nm", "-D", "--undefined-only", user).splitlines()]
    return sorted({entry[-1] for entry in asked if len(entry) > 1 and entry[0] in wanted})


def write_stand_in(name, real, users, to):
    wanted = set().union(*(symbols(user, "--undefined-only") for user in users)) & symbols(real, "--defined-only")
    text = ('#include <unistd.h>\nstatic int missing(void) {\n  static int told = 0;\n'
            f'  static const char text[] = "saemill: {name} is not packed here\\n";\n'
            f'  if (!told++ && write(2, text, sizeof text - 1) < 0) _exit(70);\n  {STAND_INS[name]}\n}}\n')
    text += "".join(f"int {symbol}(void) {{ return missing(); }}\n" for symbol in sorted(wanted))
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "stand_in.c")
        source.write_text(text)
        script = pathlib.Path(folder, "versions")
        script.write_text("".join(f"{version} {{ *; }};\n" for version in versions_of(users, wanted)))
        versions = [f"-Wl,--version-script={script}"] if script.stat().st_size else []
        output("cc", "-shared", "-fPIC", "-Os", "-s", f"-Wl,-soname,{name}", *versions, source, "-o", to)


def newest_libc(paths):
    versions = {tuple(map(int, found.split("."))) for path in paths for found in re.findall(r"GLIBC_(2\.\d+)", output("objdump", "-p", path))}
    return ".".join(map(str, max(versions)))


def train_on_cpu(source, build, dtype, steps):
    """The FVU that a GPU must come to; None where this machine cannot train in that type. On one core: the result is the same,
    and threads that wait for each other suffer from whatever else runs here."""
    core = {min(os.sched_getaffinity(0))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([build / "bin/saemill", "train", source / "examples/shakespeare.toml", "--progress", "none", "--devices", "cpu:0",
                               "--out", f"{folder}/run", "--set", f"activations.path={source / 'examples/activations'}",
                               "--set", f"train.dtype={dtype}", "--set", f"train.steps={steps}"],
                              capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, core))
        if done.returncode == 78 and "oneDNN has no" in done.stderr:
            return None
        if done.returncode != 0:
            raise PackError(f"the training on this CPU failed ({done.returncode}): {done.stderr.strip()}")
        events = [json.loads(line) for line in pathlib.Path(folder, "run/events.jsonl").read_text().splitlines()]
    return next(event["report"]["fvu"] for event in events if event["event"] == "finished")


def make_folder(folder):
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise PackError(f"{folder}: holds something else; --pack wants a new or empty folder")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "lib", "stand_ins", "examples", "gpu_check"):
        (folder / name).mkdir(parents=True)


def copy_checks(source, folder):
    """What runs there."""
    for path in sorted((source / "scripts/gpu_check").glob("*.py")):
        if path.name not in ("run.py", "pack.py"):
            shutil.copyfile(path, folder / "gpu_check" / path.name)
    shutil.copyfile(source / "scripts/gpu_check/run.py", folder / "run")
    (folder / "run").chmod(0o755)


def copy_data(source, folder):
    shutil.copytree(source / "examples/activations", folder / "examples/activations")
    shutil.copyfile(source / "examples/shakespeare.toml", folder / "examples/shakespeare.toml")
    shutil.copytree(source / "tests/golden", folder / "tests/golden", ignore=shutil.ignore_patterns("*.py"))


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def pack(source, build, folder, baseline=None):
    """BASELINE, the dense program to compare with, is not this repository's: in the folder only where it is asked for."""
    dense = baseline.read_bytes() if baseline else None  # it may be the one that lies in the folder
    programs, tests = programs_of(build)
    check_filters(tests)
    copied, replaced = libraries_of(programs + tests)
    make_folder(folder)
    for path in programs + tests:
        output("strip", "-o", folder / "bin" / path.name, path)
    for name, path in copied.items():
        shutil.copyfile(path, folder / "lib" / name)
    # Apart, so that a program of the machine can be given the libraries without them.
    for name, (real, users) in replaced.items():
        write_stand_in(name, real, users, folder / "stand_ins" / name)
    copy_data(source, folder)
    copy_checks(source, folder)
    if dense is not None:
        (folder / "torch_sae.py").write_bytes(dense)
    steps = 200
    binaries = [path for part in ("bin", "lib", "stand_ins") for path in sorted((folder / part).iterdir())]
    manifest = {"tests": [path.name for path in tests],
                "stand_ins": {name: pathlib.Path(real).stat().st_size for name, (real, _) in replaced.items()},
                "libc": newest_libc(binaries), "programs": {path.name: checksum(path) for path in binaries if path.parent.name == "bin"},
                "steps": steps, "cpu_fvu": {dtype: train_on_cpu(source, build, dtype, steps) for dtype in ("bf16", "f32")}}
    (folder / MARK).write_text(json.dumps(manifest, indent=2) + "\n")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size >= LIMIT:
        raise PackError(f"{folder}: {size / 1e6:.1f} MB; at most {LIMIT / 1e6:.0f}")
    print(f"{folder}: {size / 1e6:.1f} MB, {len(programs + tests)} programs, {len(copied)} libraries, without {', '.join(sorted(replaced))}")
    return manifest
