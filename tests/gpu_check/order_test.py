"""What is run, in which order and by which names; and every command line, also of machines with several GPUs."""
import packed
from packed import LARGE, MIDDLE, SMALL


class Names(packed.PackedTest):
    def names(self, *words):
        self.run_checks("--list", *words)
        self.assertFalse(self.report.exists(), "--list writes nothing")
        return self.output.split("\n")[:-1]

    def test_what_tells_most_in_the_least_time_comes_first(self):
        names = self.names()
        step, baseline = "bench/step/{}/same-batch".format, "baseline/{}".format
        order = ["libraries", "devices", "nvidia-smi", "doctor", "gpus", "calibrate", "tests/cuda_sample_gpu_test", "tests/cuda_kernels_gpu_test",
                 "tests/cuda_kernels_update_gpu_test", "tests/backend_conformance_gpu", "training/bf16", "training/f32", step(SMALL), step(MIDDLE),
                 baseline(SMALL), baseline(MIDDLE), "tests/gpu_exchange_gpu_test", "tests/gpu_train_gpu", "bench/scaling", "bench/collectives",
                 "gpus/train/2", "gpus/train/all", "gpus/killed-rank", "gpus/collectives", "gpus/scaling",
                 "sanitizer/racecheck/cuda_kernels_gpu_test", "sanitizer/memcheck/cuda_kernels_gpu_test",
                 "sanitizer/racecheck/cuda_kernels_update_gpu_test", "sanitizer/memcheck/cuda_kernels_update_gpu_test", step(LARGE), baseline(LARGE)]
        for kind in ("bench/step/{}", "bench/step/{}/hot", "bench/memory/{}"):
            order += map(kind.format, (SMALL, MIDDLE, LARGE))
        order += ["monitor-cost"] + [f"{kind}/{shape}" for kind in ("bench/select", "profile") for shape in (SMALL, MIDDLE, LARGE)]
        order += ["sanitizer/memcheck/backend_conformance_gpu", "sanitizer/memcheck/cuda_sample_gpu_test", "sanitizer/racecheck/cuda_sample_gpu_test",
                  "bench/loader"]
        self.assertEqual(names, order)

    def test_only_and_skip(self):
        self.assertEqual(self.names("--only", f"tests/backend_conformance*,bench/step/{MIDDLE[:9]}*,training/f32"),
                         ["libraries", "devices", "tests/backend_conformance_gpu", "training/f32", f"bench/step/{MIDDLE}/same-batch", f"bench/step/{MIDDLE}",
                          f"bench/step/{MIDDLE}/hot"])
        without = self.names("--skip", "sanitizer/*,bench/*,gpus/*,baseline/*,tests/*,monitor-cost,profile/*")
        self.assertEqual(without, ["libraries", "devices", "nvidia-smi", "doctor", "gpus", "calibrate", "training/bf16", "training/f32"])

    def test_a_glob_without_a_part_is_an_error(self):
        self.run_checks("--only", "tests/nothing*", code=2)
        self.assertIn("tests/nothing*: no part has such a name", self.output)
        self.run_checks("--shapes", "1,2", code=2)

    def test_help_says_what_it_needs(self):
        self.write_manifest(libc="2.36")
        self.run_checks("--help")
        self.assertIn("glibc 2.36 or newer (Debian 12, Ubuntu 24.04 or newer)", self.output)


class CommandLines(packed.PackedTest):
    def called(self, *start):
        return [" ".join(call[len(start):]) for call in self.calls() if call[:len(start)] == list(start)]

    def run_all(self, gpus, **more):
        self.scenario(gpus=gpus, **more)
        checks = self.run_checks()
        self.assertEqual({name: check["message"] for name, check in checks.items() if check["status"] not in ("ok", "skipped")}, {})
        self.assertTrue(self.all["ok"])
        return {name for name, check in checks.items() if check["status"] == "skipped"}

    def test_one_gpu(self):
        skipped = self.run_all(1)
        self.assertEqual(skipped, {f"baseline/{shape}" for shape in (SMALL, MIDDLE, LARGE)}
                         | {f"gpus/{name}" for name in ("train/2", "train/all", "killed-rank", "collectives", "scaling")})
        self.assertEqual(self.called("saemill", "doctor"), ["--json"])
        self.assertEqual(self.called("saemill", "gpus"), ["--json"])
        estimates = self.called("saemill", "estimate")
        self.assertEqual((estimates[0], len(estimates)), ("--calibrate --devices gpu:0 --json", 4))
        self.assertRegex(estimates[1], r"^/\S+/estimate.json --devices gpu:0 --json$")
        self.assertEqual(self.called("saemill-worker", "bench", "loader"), ["--threads 8 --types BF16,table --json"])
        self.assertEqual(self.called("saemill-worker", "bench", "select")[0], f"--shape {SMALL} --json")
        self.assertEqual(self.called("saemill-worker", "bench", "scaling"), [f"--devices gpu --ranks 1,2,4 --ranks-per-device 4 --shape {SMALL} --json"])
        self.assertEqual(self.called("saemill-worker", "bench", "collectives"), ["--devices gpu --ranks 2 --ranks-per-device 2 --json"])
        self.assertEqual(self.called("saemill-worker", "bench", "step")[0], f"--devices gpu:0 --shape {SMALL} --same-batch --json")
        self.assertEqual(self.called("monitor_cost"), [f"--nvml {self.cuda}/libnvidia-ml.so.1 --seconds 5 --json"])
        for test in packed.TESTS:
            self.assertEqual(self.called(test)[0], "", "all tests, with all that they say")

    def test_two_gpus(self):
        skipped = self.run_all(2)
        self.assertIn("gpus/train/all", skipped, "the same as auto:2")
        self.assertEqual(self.called("saemill-worker", "bench", "scaling")[1], f"--devices gpu --ranks 1,2 --shape {MIDDLE} --json")

    def test_six_gpus(self):
        skipped = self.run_all(6)
        self.assertEqual({name for name in skipped if name.startswith("gpus/")}, set())
        devices = [words.split("--devices ")[1].split()[0] for words in self.called("saemill", "train")]
        self.assertEqual(devices, ["gpu:0", "gpu:0", "auto:2", "auto:6", "auto:2"])
        self.assertEqual(self.called("saemill-worker", "bench", "scaling")[1], f"--devices gpu --ranks 1,2,4,6 --shape {MIDDLE} --json")
        self.assertEqual(self.called("saemill-worker", "bench", "collectives")[1], "--devices gpu --ranks 6 --json")

    def test_baseline(self):
        baseline = self.root / "torch_sae.py"
        baseline.write_text("import json, os, sys\nprint(json.dumps({'step_ms': 5.0, 'words': sys.argv[1:], 'ld': os.environ['LD_LIBRARY_PATH']}))\n")
        checks = self.run_checks("--baseline", baseline, "--only", f"bench/step/{SMALL}*,baseline/{SMALL}")
        figures = checks[f"baseline/{SMALL}"]["figures"]
        self.assertEqual((figures["times_dense"], figures["required_times"], figures["dense"]["ld"]), (10, 3, str(self.cuda)))
        self.assertEqual(" ".join(figures["dense"]["words"]), f"bench --shape {SMALL} --device cuda --dtype bf16 --repeats 20 --warmup 5")

    def test_the_sanitizer_has_the_machines_libraries_and_its_target_the_packed_ones(self):
        checks = self.run_checks("--only", "sanitizer/memcheck/cuda_kernels_gpu_test")
        figures = checks["sanitizer/memcheck/cuda_kernels_gpu_test"]["figures"]
        self.assertEqual(figures["summary"], ["0 errors"])
        told = self.log("sanitizer/memcheck/cuda_kernels_gpu_test.log").splitlines()
        self.assertIn(f"ld={self.cuda}", told)
        command = next(line for line in told if line.startswith("--tool"))
        self.assertNotIn("exclude", command, "only where NVIDIA's kernels are called")
        self.assertIn("--tool memcheck --error-exitcode 99 --target-processes all /usr/bin/env LD_LIBRARY_PATH="
                      f"{self.folder}/lib:{self.folder}/stand_ins:{self.cuda}", command)
        self.assertRegex(command, rf"{self.folder}/bin/cuda_kernels_gpu_test --gtest_filter=-SelectTest")


if __name__ == "__main__":
    packed.main()
