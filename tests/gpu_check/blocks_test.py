"""What a hanging kernel leaves to the others, what a run goes on with, sanitizers, and a folder as it was carried here."""
import subprocess
import sys

import packed
from packed import SMALL

CONFORMANCE, KERNELS, SAMPLE, EXCHANGE = "backend_conformance_gpu", "cuda_kernels_gpu_test", "cuda_sample_gpu_test", "gpu_exchange_gpu_test"
STEP = f"bench/step/{SMALL}/same-batch"
SKIP = "gpus/*,doctor,bench/scaling,bench/collectives,baseline/*,profile/*,monitor-cost"


class Blocks(packed.PackedTest):
    def hang(self, program):
        self.seconds("PROGRAM_SECONDS", 1)
        self.seconds("ALONE_SECONDS", 1)
        self.scenario(**{program: {"does": "hang"}})

    def first_calls(self):
        """In their order, of what is checked here."""
        wanted = {CONFORMANCE, KERNELS, SAMPLE, EXCHANGE, "saemill"}
        return list(dict.fromkeys(call[0] for call in self.calls() if call[0] in wanted))

    def test_conformance_that_hangs(self):
        self.hang(CONFORMANCE)
        checks = self.run_checks("--skip", SKIP, code=1)
        for name in ("training/bf16", "training/f32", STEP, f"bench/step/{SMALL}", f"bench/memory/{SMALL}", f"bench/select/{SMALL}",
                     "tests/gpu_train_gpu", f"sanitizer/memcheck/{CONFORMANCE}"):
            self.assertEqual((checks[name]["status"], checks[name]["message"]), ("not reached", "conformance hung"), name)
        for name in (f"tests/{EXCHANGE}", f"sanitizer/memcheck/{KERNELS}", "bench/loader"):
            self.assertEqual(checks[name]["status"], "ok", name)
        self.assertIsNone(checks[f"tests/{CONFORMANCE}"]["figures"]["memcheck"], "it would only hang again")

    def test_what_was_blocked_is_tried_where_it_is_named(self):
        self.hang(CONFORMANCE)
        checks = self.run_checks("--only", f"tests/{CONFORMANCE},training/f32,{STEP}", code=1)
        self.assertEqual((checks["training/f32"]["status"], checks[STEP]["status"]), ("ok", "ok"))

    def test_kernels_that_crash(self):
        self.scenario(**{KERNELS: {"does": "crash"}})
        checks = self.run_checks("--skip", SKIP, code=1)
        self.assertEqual(checks["training/f32"]["message"], "cuda_kernels crashed")
        self.assertEqual(checks[f"tests/{CONFORMANCE}"]["status"], "ok")
        self.assertNotEqual(checks[f"sanitizer/racecheck/{KERNELS}"]["status"], "not reached")

    def test_a_run_that_goes_on_begins_with_what_blocks(self):
        self.hang(CONFORMANCE)
        skip = f"{SKIP},sanitizer/*,bench/*,tests/gpu*"
        self.run_checks("--skip", skip, code=1)
        (self.folder / "calls.jsonl").unlink()
        self.scenario()
        checks = self.run_checks("--skip", skip, "--continue", self.report)
        self.assertEqual(self.first_calls(), [CONFORMANCE, "saemill"])
        self.assertEqual(checks["training/f32"]["status"], "ok")

    def test_the_order_of_a_run_that_goes_on(self):
        skips = {test: {"does": "skip"} for test in ("First.Works", "First.HasMore/of_it", "Second.Works")}
        self.scenario(**{SAMPLE: {"does": "crash"}, **skips})
        only = f"tests/{SAMPLE},tests/{EXCHANGE},baseline/{SMALL}"
        checks = self.run_checks("--only", only, code=1)
        self.assertEqual([checks[name]["status"] for name in (f"tests/{EXCHANGE}", f"baseline/{SMALL}")], ["skipped"] * 2)
        (self.folder / "calls.jsonl").unlink()
        self.scenario(gpus=1)
        checks = self.run_checks("--only", f"{only},training/f32", "--continue", self.report)
        self.assertEqual(self.first_calls(), ["saemill", SAMPLE], "what was skipped would be again, on the same GPUs")
        self.assertIn("all 3 tests were", checks[f"tests/{EXCHANGE}"]["message"])
        (self.folder / "calls.jsonl").unlink()
        self.scenario(gpus=2)
        checks = self.run_checks("--only", f"{only},training/bf16", "--continue", self.report)
        self.assertEqual(self.first_calls(), ["saemill", EXCHANGE])
        self.assertEqual(checks[f"tests/{EXCHANGE}"]["status"], "ok")


class Sanitizers(packed.PackedTest):
    def outcome(self, program=KERNELS, code=0, **scenario):
        self.scenario(**scenario)
        name = f"sanitizer/memcheck/{program}"
        return self.run_checks("--only", name, code=code)[name]

    def tools_command(self, program):
        told = self.log(f"sanitizer/memcheck/{program}.log").splitlines()
        return next(line for line in told if line.startswith("--tool"))

    def test_errors_are_the_sanitizers(self):
        check = self.outcome(code=1, **{"sanitizer errors": 2, "First.Works": {"does": "fail"}})
        self.assertTrue(check["message"].startswith("memcheck: 2 errors: Invalid __global__ read of size 4 bytes | at select(int)"), check["message"])
        self.assertEqual((check["figures"]["errors"], check["figures"]["failed_tests"]), (2, ["First.Works"]))

    def test_failures_are_the_tests(self):
        check = self.outcome(code=1, **{"First.Works": {"does": "fail"}})
        self.assertEqual(check["message"], "memcheck finds no error; tests that fail all the same (exit code 1): First.Works")
        self.assertEqual((check["figures"]["errors"], check["figures"]["failed_tests"]), (0, ["First.Works"]))

    def test_hazards(self):
        sys.path.insert(0, str(self.folder))
        sys.dont_write_bytecode = True
        from gpu_check import check_sanitizer, runner
        text = "========= Error: Race reported between\n========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)\n"
        self.assertEqual(check_sanitizer.told_by(runner.Done(99, text, False))["errors"], 3)

    def test_the_kernels_of_libraries_are_left_out(self):
        self.outcome(CONFORMANCE)
        self.assertIn("--target-processes all --kernel-name-exclude regex=nvjet|cutlass|cublas|sm90_xmma /usr/bin/env", self.tools_command(CONFORMANCE))
        self.outcome(CONFORMANCE, **{"sanitizer help": "--kernel-regex-exclude"})
        self.assertIn("--kernel-regex-exclude kns=nvjet --kernel-regex-exclude kns=cutlass", self.tools_command(CONFORMANCE))
        self.outcome(CONFORMANCE, **{"sanitizer help": ""})
        self.assertNotIn("exclude", self.tools_command(CONFORMANCE))


class Carried(packed.PackedTest):
    def test_the_packed_baseline(self):
        (self.folder / "torch_sae.py").write_text("import json\nprint(json.dumps({'step_ms': 2.0}))\n")
        checks = self.run_checks("--only", f"baseline/{SMALL}")
        self.assertEqual(checks[f"baseline/{SMALL}"]["figures"]["dense"]["step_ms"], 2)
        (self.folder / "torch_sae.py").unlink()
        check = self.run_checks("--only", f"baseline/{SMALL}")[f"baseline/{SMALL}"]
        self.assertEqual(check["status"], "skipped")
        self.assertIn("--pack --baseline FILE", check["message"])

    def test_lost_executable_bits(self):
        for path in [self.folder / "run", *(self.folder / "bin").iterdir()]:
            path.chmod(0o644)
        checks = self.run_checks("--only", f"tests/{SAMPLE}")
        self.assertEqual(checks[f"tests/{SAMPLE}"]["status"], "ok")

    def test_a_baseline_that_is_not_there(self):
        command = [sys.executable, str(packed.SOURCE / "scripts/gpu-check"), "--pack", str(self.root / "new"), "--baseline", str(self.root / "absent.py")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("absent.py: is no file; torch_sae.py is wanted", done.stdout)
        self.assertFalse((self.root / "new").exists())


if __name__ == "__main__":
    packed.main()
