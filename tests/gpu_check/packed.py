"""A folder as scripts/gpu-check packs it, of fake programs."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ["SAEMILL_SOURCE"])
CHECKS = SOURCE / "scripts/gpu_check"
HERE = pathlib.Path(__file__).resolve().parent
TESTS = ["cuda_kernels_gpu_test", "cuda_kernels_update_gpu_test", "cuda_sample_gpu_test", "gpu_exchange_gpu_test", "backend_conformance_gpu",
         "gpu_train_gpu"]
MANIFEST = {"tests": TESTS, "stand_ins": {}, "libc": "2.17", "steps": 7, "cpu_fvu": {"bf16": 0.2, "f32": 0.2}}
PATIENCE = 30
SMALL, MIDDLE, LARGE = "4096,768,24576,32", "8192,2304,16384,64", "8192,4096,131072,64"


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)


class PackedTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="saemill-gpu-check-test-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.folder, self.report, self.cuda = self.root / "pack", self.root / "report.json", self.root / "cuda"
        for name in ("bin", "lib", "stand_ins", "gpu_check"):
            (self.folder / name).mkdir(parents=True)
        self.cuda.mkdir()
        for name in ("libcublasLt.so.13", "libnvidia-ml.so.1"):
            (self.cuda / name).touch()
        for path in CHECKS.glob("*.py"):
            shutil.copyfile(path, self.folder / "gpu_check" / path.name)
        shutil.copyfile(CHECKS / "run.py", self.folder / "run")
        for name in [*TESTS, "saemill", "saemill-worker", "monitor_cost"]:
            executable(self.folder / "bin" / name, (HERE / "fake_program.py").read_text())
        self.tools = self.root / "tools"
        self.tools.mkdir()
        for name in ("nvidia-smi", "compute-sanitizer", "ncu"):
            executable(self.tools / name, (HERE / "fake_tool.py").read_text())
        self.write_manifest()
        self.scenario()

    def write_manifest(self, **more):
        (self.folder / "gpu-check.json").write_text(json.dumps({**MANIFEST, **more}))

    def scenario(self, **what):
        (self.folder / "scenario.json").write_text(json.dumps(what))

    def seconds(self, name, value):
        """Of the checks' own limits, which a test cannot wait for."""
        for path in (self.folder / "gpu_check").glob("*.py"):
            path.write_text(path.read_text() + f"\nif '{name}' in globals(): {name} = {value}\n")

    def command(self, *words):
        return [sys.executable, str(self.folder / "run"), "--out", str(self.report), *map(str, words)]

    def environment(self):
        return {"PATH": f"{self.tools}:/usr/bin:/bin", "LD_LIBRARY_PATH": str(self.cuda), "TMPDIR": str(self.root)}

    def run_checks(self, *words, code=0, **more):
        done = subprocess.run(self.command(*words), env=self.environment(), cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE * 2, **more)
        self.assertEqual(done.returncode, code, done.stdout)
        self.assertNotIn("Traceback", done.stdout)
        self.output = done.stdout
        return self.told() if self.report.exists() else None

    def start_checks(self, *words):
        return subprocess.Popen(self.command(*words), env=self.environment(), cwd=self.root, stdout=subprocess.DEVNULL, start_new_session=True)

    def told(self):
        self.all = json.loads(self.report.read_text())
        return {check["name"]: check for check in self.all["checks"]}

    def calls(self):
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self, name):
        with tarfile.open(self.root / "report.logs.tar.gz") as tar:
            return tar.extractfile(name).read().decode()

    def eventually(self, look):
        until = time.monotonic() + PATIENCE
        while not (found := look()):
            self.assertLess(time.monotonic(), until, "in vain")
            time.sleep(0.02)
        return found

    def check_nothing_is_left(self):
        """No process with this test's folder in its environment."""
        def left():
            found = []
            for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
                try:
                    if str(self.folder).encode() in path.read_bytes():
                        found.append((path.parent / "cmdline").read_text())
                except OSError:
                    pass
            return found
        self.eventually(lambda: not left())


def main():
    sys.exit(0 if unittest.main(exit=False, verbosity=2).result.wasSuccessful() else 1)
