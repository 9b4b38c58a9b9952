"""Programs that fail, crash, hang and cannot be ended; trainings; and machines that lack something."""
import os
import signal
import subprocess
import sys
import unittest
import unittest.mock

import packed
from packed import SMALL

NAME = "cuda_sample_gpu_test"


class TestPrograms(packed.PackedTest):
    def outcome(self, code=1, **scenario):
        self.scenario(**scenario)
        return self.run_checks("--only", f"tests/{NAME}", code=code)[f"tests/{NAME}"]

    def alone(self):
        return [call[1] for call in self.calls() if call[0] == NAME and len(call) > 1]

    def test_a_failure(self):
        check = self.outcome(**{"First.HasMore/of_it": {"does": "fail"}})
        self.assertEqual(check["message"], "exit code 1; 2 passed, 1 failed; alone 0 of 1 pass: First.HasMore/of_it; memcheck (exit code 1) finds 0 errors")
        self.assertEqual(check["figures"]["alone"], {"First.HasMore/of_it": "failed"})
        self.assertEqual(self.alone(), ["--gtest_list_tests", "--gtest_filter=First.HasMore/of_it", "--gtest_filter=First.HasMore/of_it"])

    def test_memcheck_at_once(self):
        check = self.outcome(**{"First.Works": {"does": "fail"}, "Second.Works": {"does": "fail"}, "sanitizer errors": 1})
        self.assertIn("; memcheck (exit code 99) finds 1 errors: Invalid __global__ read of size 4 bytes | at select(int)", check["message"])
        memcheck = check["figures"]["memcheck"]
        self.assertEqual((memcheck["errors"], memcheck["failed_tests"]), (1, ["First.Works", "Second.Works"]))
        self.assertEqual(self.alone()[-1], "--gtest_filter=First.Works:Second.Works")
        self.assertIn("select.cuh:12", self.log(f"tests/{NAME}.log"))

    def test_no_memcheck_where_it_is_absent_or_the_program_comes_later(self):
        self.scenario(**{"First.Works": {"does": "fail"}})
        check = self.run_checks("--only", "tests/gpu_exchange*", code=1)["tests/gpu_exchange_gpu_test"]
        self.assertIsNone(check["figures"]["memcheck"])
        (self.tools / "compute-sanitizer").unlink()
        self.assertIsNone(self.outcome(**{"First.Works": {"does": "fail"}})["figures"]["memcheck"])

    def test_an_illegal_address_poisons_what_comes_after(self):
        check = self.outcome(**{"First.Works": {"does": "poison"}})
        self.assertEqual(check["figures"]["failed"], ["First.Works", "First.HasMore/of_it", "Second.Works"])
        self.assertEqual(check["figures"]["alone"], {"First.Works": "failed", "First.HasMore/of_it": "ok", "Second.Works": "ok"})
        self.assertIn("alone 2 of 3 pass: First.HasMore/of_it, First.Works, Second.Works; memcheck", check["message"])

    def test_a_crash(self):
        check = self.outcome(**{"First.HasMore/of_it": {"does": "crash"}})
        self.assertTrue(check["message"].startswith("crashed (SIGSEGV) in First.HasMore/of_it; 1 passed, 0 failed; alone 1 of 2 pass: "
                                                    "First.HasMore/of_it; memcheck (exit code "), check["message"])
        self.assertEqual((check["figures"]["running"], check["figures"]["blocks"]), ("First.HasMore/of_it", "cuda_sample crashed"))
        self.assertEqual(check["figures"]["alone"], {"First.HasMore/of_it": "crashed (SIGSEGV)", "Second.Works": "ok"})

    def test_a_crash_that_comes_with_others_only(self):
        check = self.outcome(**{"First.HasMore/of_it": {"does": "crash", "alone": ""}})
        self.assertEqual((check["status"], check["figures"]["alone"]), ("failed", {"First.HasMore/of_it": "ok", "Second.Works": "ok"}))
        self.assertEqual(self.alone()[-1], "--gtest_filter=First.HasMore/of_it", "under memcheck, which may see why")

    def test_a_hang(self):
        self.seconds("PROGRAM_SECONDS", 1)
        self.seconds("ALONE_SECONDS", 1.5)
        check = self.outcome(**{"First.HasMore/of_it": {"does": "hang"}})
        self.assertEqual(check["message"], "not done in time in First.HasMore/of_it; 1 passed, 0 failed; alone 1 of 2 pass: First.HasMore/of_it")
        self.assertEqual(check["figures"]["alone"], {"First.HasMore/of_it": "hangs", "Second.Works": "ok"})
        self.assertEqual((check["figures"]["blocks"], check["figures"]["memcheck"]), ("cuda_sample hung", None))
        self.check_nothing_is_left()

    def test_what_is_only_slow_blocks_nothing(self):
        self.seconds("PROGRAM_SECONDS", 1)
        check = self.outcome(**{"First.HasMore/of_it": {"does": "hang", "alone": ""}})
        self.assertEqual(check["message"], "not done in time in First.HasMore/of_it; 1 passed, 0 failed; alone 2 of 2 pass")
        self.assertNotIn("blocks", check["figures"])
        self.assertIsNone(check["figures"]["memcheck"])

    def test_no_more_than_a_time_for_all_alone(self):
        self.seconds("PROGRAM_SECONDS", 1)
        self.seconds("ALONE_TOGETHER", 1)
        check = self.outcome(**{"First.Works": {"does": "hang"}})
        self.assertEqual(set(check["figures"]["alone"].values()), {"no time left"})

    def test_skipped(self):
        check = self.outcome(code=0, **{name: {"does": "skip"} for name in ("First.Works", "First.HasMore/of_it", "Second.Works")})
        self.assertEqual((check["status"], check["message"][:16]), ("skipped", "all 3 tests were"))
        check = self.outcome(code=0, **{"First.Works": {"does": "skip"}})
        self.assertEqual((check["status"], check["message"]), ("ok", "2 passed, 1 skipped"))


class Filters(unittest.TestCase):
    def test_names_without_a_test(self):
        sys.path.insert(0, str(packed.SOURCE / "scripts"))
        sys.dont_write_bytecode = True
        from gpu_check import gtest
        listed = "Running main()\nA.\n  Big\n  Small/x_1x1  # GetParam() = 1\n"
        self.assertEqual(gtest.void_patterns("*", listed), [])
        self.assertEqual(gtest.void_patterns("-A.Big:A.*_1x1:A.Renamed", listed), ["A.Renamed"])


class Hangs(packed.PackedTest):
    def test_with_all_that_was_started(self):
        """Also a child that has a session of its own."""
        for name, value in (("PROGRAM_SECONDS", 1), ("ALONE_SECONDS", 1), ("GRACE", 0.2)):
            self.seconds(name, value)
        self.scenario(cuda_sample_gpu_test={"does": "hang on"})
        checks = self.run_checks("--only", f"tests/{NAME},bench/step/{SMALL}", code=1)
        self.assertEqual(checks[f"bench/step/{SMALL}"]["status"], "ok", "it could be ended")
        self.assertFalse(self.all["dirty"])
        self.check_nothing_is_left()

    def test_what_survives_its_end_stops_the_timing(self):
        """As a process that hangs in the driver: signals do nothing."""
        for name, value in (("PROGRAM_SECONDS", 1), ("GRACE", 0.2), ("PATIENCE", 0.5)):
            self.seconds(name, value)
        path = self.folder / "gpu_check/processes.py"
        path.write_text(path.read_text() + "\ndef send(pid, number): pass\n")
        self.scenario(cuda_sample_gpu_test={"does": "hang"})
        self.addCleanup(self.end_survivors)
        checks = self.run_checks("--only", f"tests/cuda_*,bench/step/{SMALL},training/f32", code=1)
        self.assertTrue(self.all["dirty"])
        self.assertRegex(self.all["dirty_reason"], r"of tests/cuda_sample_gpu_test is still there 0.5 s after SIGKILL: \d+ python3")
        bench = checks[f"bench/step/{SMALL}"]
        self.assertEqual(bench["status"], "not reached")
        self.assertIn("no time would be right: of tests/cuda_sample_gpu_test is still there", bench["message"])
        self.assertEqual(checks["training/f32"]["status"], "ok", "what is not timed goes on")
        self.assertEqual(checks[f"tests/{NAME}"]["figures"]["alone"], {})

    def end_survivors(self):
        for call in subprocess.run(["ps", "-eo", "pid,args"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            if str(self.folder / "bin") in call:
                os.kill(int(call.split()[0]), signal.SIGKILL)


class Trainings(packed.PackedTest):
    def test_what_a_failed_one_leaves(self):
        self.scenario(**{"train code": 70})
        checks = self.run_checks("--only", "training/bf16", code=1)
        self.assertIn("saemill train: exit code 70", checks["training/bf16"]["message"])
        self.assertEqual(self.log("training/bf16/rank-0.log"), "what rank 0 said\n")
        self.assertIn("finished", self.log("training/bf16/events.jsonl"))

    def test_another_result(self):
        for fvu in (0.203, "NaN"):
            self.scenario(fvu=0.203 if fvu != "NaN" else float("nan"))
            check = self.run_checks("--only", "training/f32", code=1)["training/f32"]
            self.assertIn("more than 1% apart", check["message"])
        self.log("training/f32/events.jsonl")

    def test_a_killed_rank(self):
        self.scenario(gpus=2)
        check = self.run_checks("--only", "gpus/killed-rank")["gpus/killed-rank"]
        self.assertEqual(check["figures"]["code"], 75)
        self.scenario(gpus=2, **{"killed code": 70})
        check = self.run_checks("--only", "gpus/killed-rank", code=1)["gpus/killed-rank"]
        self.assertIn("exit code 70 instead of 75", check["message"])
        self.check_nothing_is_left()


class Machine(packed.PackedTest):
    def test_an_old_libc(self):
        self.write_manifest(libc="2.99")
        checks = self.run_checks(code=1)
        self.assertIn("these programs need glibc 2.99 or newer; this machine has glibc 2.", checks["libraries"]["message"])
        self.assertEqual(checks["devices"]["status"], "not reached")
        self.assertEqual(self.calls(), [])

    def test_no_device(self):
        self.scenario(**{"saemill-worker devices": {"does": "crash"}})
        checks = self.run_checks(code=1)
        self.assertIn("saemill-worker: crashed (SIGSEGV)", checks["devices"]["message"])
        self.assertEqual(checks["doctor"]["status"], "not reached")

    def test_no_tools(self):
        for tool in self.tools.iterdir():
            tool.unlink()
        checks = self.run_checks("--only", "nvidia-smi,sanitizer/memcheck/*")
        self.assertEqual(checks["nvidia-smi"]["status"], "skipped")

    def test_stderr_is_not_json(self):
        self.scenario(**{"saemill-worker bench step": {"does": "crash"}})
        check = self.run_checks("--only", f"bench/step/{SMALL}", code=1)[f"bench/step/{SMALL}"]
        self.assertIn("crashed (SIGSEGV)", check["message"])

    def test_libraries_by_the_loaders_cache(self):
        sys.path.insert(0, str(packed.SOURCE / "scripts"))
        sys.dont_write_bytecode = True
        from gpu_check import libraries
        library = self.cuda / "libcuda.so.1"
        library.touch()
        text = f"2 libs\n\tlibcuda.so.1 (libc6) => /nowhere/32\n\tlibcuda.so.1 (libc6,x86-64, OS ABI: Linux 3.2.0) => {library}\n"
        executable = self.tools / "ldconfig"
        packed.executable(executable, f"#!/bin/sh\ncat <<'E'\n{text}E\n")
        with unittest.mock.patch.dict(os.environ, {"PATH": f"{self.tools}:/usr/bin:/bin", "LD_LIBRARY_PATH": ""}), \
                unittest.mock.patch.object(libraries, "folders", lambda: []):
            libraries.known_to_the_loader.cache_clear()
            self.assertEqual(libraries.find("libcuda.so.1"), str(self.cuda))
            self.assertIsNone(libraries.find("libnccl.so.2"))
        libraries.known_to_the_loader.cache_clear()


if __name__ == "__main__":
    packed.main()
