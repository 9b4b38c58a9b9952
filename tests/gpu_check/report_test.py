"""The report is there and right at every moment, whatever ends the run."""
import json
import os
import re
import signal
import subprocess
import sys
import tarfile

import packed
from packed import SMALL

KEYS = {"name", "status", "seconds", "message", "figures", "output"}
CONFORMANCE = "tests/backend_conformance_gpu"


class Reports(packed.PackedTest):
    def test_the_time_limit(self):
        self.scenario(backend_conformance_gpu={"does": "hang"})
        checks = self.run_checks("--time-limit", "4", code=75)
        self.assertEqual(checks["tests/cuda_kernels_update_gpu_test"]["status"], "ok")
        self.assertEqual((checks[CONFORMANCE]["status"], checks[CONFORMANCE]["message"]), ("not reached", "cut: the 4 s of the run were over"))
        last = list(checks)[-1]
        self.assertEqual((checks[last]["status"], checks[last]["message"]), ("not reached", "the 4 s of the run were over"))
        self.assertEqual((self.all["ok"], self.all["complete"], self.all["dirty"]), (False, False, False))
        self.assertTrue(all(check.keys() == KEYS for check in checks.values()))

    def test_continue(self):
        self.scenario(**{"saemill gpus --json": {"does": "fail"}, "cuda_kernels_gpu_test": {"does": "crash"}})
        only = ("--only", "gpus,calibrate,tests/cuda*")
        checks = self.run_checks(*only, code=1)
        self.assertEqual([name for name, check in checks.items() if check["status"] == "failed"], ["tests/cuda_kernels_gpu_test"])
        first = self.log("calibrate.log")
        (self.folder / "calls.jsonl").unlink()
        self.scenario()
        other = self.root / "second.json"
        self.run_checks("--continue", self.report, "--out", other, "--only", "tests/*,training/f32")
        programs = [call[0] for call in self.calls()]
        self.assertEqual([name for name in programs if name.startswith("cuda")], ["cuda_kernels_gpu_test"], "what is ok is not run again")
        self.assertEqual(programs[0], "saemill-worker", "the devices are looked at again")
        after = json.loads(other.read_text())
        self.assertEqual({check["status"] for check in after["checks"]}, {"ok"})
        names = [check["name"] for check in after["checks"]]
        self.assertEqual(names[2:5], ["gpus", "calibrate", "tests/cuda_sample_gpu_test"], "in the plan's order, with what was kept")
        self.assertTrue(after["ok"])
        self.assertEqual(set(after["continued"]["kept"]), {"gpus", "calibrate", "tests/cuda_sample_gpu_test", "tests/cuda_kernels_update_gpu_test",
                                                          "tests/cuda_kernels_gpu_test"})
        with tarfile.open(self.root / "second.logs.tar.gz") as tar:
            self.assertEqual(tar.extractfile("calibrate.log").read().decode(), first)

    def test_continue_into_the_same_report_keeps_a_failure_that_is_not_reached(self):
        self.scenario(cuda_kernels_gpu_test={"does": "crash"})
        self.run_checks("--only", "tests/cuda*", code=1)
        checks = self.run_checks("--only", "tests/cuda*", "--continue", self.report, "--time-limit", "0.5", code=1)
        self.assertEqual(checks["tests/cuda_kernels_gpu_test"]["status"], "failed")
        self.assertEqual(checks["tests/cuda_sample_gpu_test"]["status"], "ok")

    def test_a_report_that_cannot_be_written_is_told_before_any_work(self):
        for words in (("--out", self.root / "nowhere/report.json"), ("--continue", self.folder / "run"), ("--continue", self.root / "absent.json")):
            self.run_checks(*words, code=2)
            self.assertRegex(self.output, "the report cannot be written.*--out names another place|--continue .* is no report")
        self.assertEqual(self.calls(), [])

    def test_the_last_of_the_output_and_all_of_it_in_the_archive(self):
        checks = self.run_checks("--only", f"tests/cuda_sample*,bench/step/{SMALL}")
        self.assertIn("[       OK ] Second.Works", checks["tests/cuda_sample_gpu_test"]["output"])
        self.assertIn("cuda_sample_gpu_test\n[ RUN ", self.log("tests/cuda_sample_gpu_test.log"))
        self.assertIn("a warning", self.log(f"bench/step/{SMALL}.log"), "stderr too, which is not parsed")
        self.assertEqual(sorted(path.name for path in self.root.glob("report*")), ["report.json", "report.logs.tar.gz"])

    def test_long_output(self):
        from_report = {"long": "x" * 3_000_000}
        sys.path.insert(0, str(self.folder))
        sys.dont_write_bytecode = True
        from gpu_check.report import Logs
        (self.root / "logs.d").mkdir()
        logs = Logs(self.report, self.root / "logs.d/logs")
        logs.begin()
        logs.add("begin" + from_report["long"] + "end")
        tail = logs.end("part")
        self.assertEqual((len(tail), tail[-3:]), (16 * 1024, "end"))
        text = self.log("part.log")
        self.assertLess(len(text), 1_500_000)
        self.assertTrue(text.startswith("begin") and text.endswith("end") and "bytes are left out" in text)


class Stops(packed.PackedTest):
    def stopped_by(self, number, does):
        """In the middle of a program that goes on for ever."""
        self.scenario(backend_conformance_gpu={"does": does})
        run = self.start_checks()
        self.eventually(lambda: self.report.exists() and self.told()[CONFORMANCE]["status"] == "running")
        self.eventually(lambda: [call for call in self.calls() if call[0] == "backend_conformance_gpu"])
        run.send_signal(number)
        code = run.wait(packed.PATIENCE)
        self.check_nothing_is_left()
        return code, self.told()

    def test_sigterm_and_sigint(self):
        for number, code, name in ((signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "SIGINT")):
            found, checks = self.stopped_by(number, "hang on")
            self.assertEqual((found, self.all["stopped"]), (code, name))
            self.assertEqual((checks[CONFORMANCE]["status"], checks[CONFORMANCE]["message"]), ("not reached", f"stopped by {name}"))
            self.assertEqual(checks["tests/cuda_kernels_gpu_test"]["status"], "ok")
            self.assertEqual(checks["training/bf16"]["status"], "not reached")
            self.assertIn("backend_conformance_gpu", self.log(f"{CONFORMANCE}.log"))
            self.assertEqual(list(self.root.glob("saemill-gpu-check-*")), [], "its folder is gone")
            (self.folder / "calls.jsonl").unlink()
            self.report.unlink()

    def test_sigkill_leaves_what_was_done_and_what_ran(self):
        code, checks = self.stopped_by(signal.SIGKILL, "hang")
        self.assertEqual((code, self.all["ok"], self.all["complete"]), (-9, False, False))
        self.assertEqual(checks[CONFORMANCE]["status"], "running")
        self.assertEqual(checks["tests/cuda_kernels_gpu_test"]["status"], "ok")
        self.assertIn("backend_conformance_gpu", (self.root / "report.now.log").read_text())
        self.assertIn("OK", self.log("tests/cuda_kernels_gpu_test.log"))

    def test_through_gpu_check_itself(self):
        self.scenario(cuda_sample_gpu_test={"does": "hang"})
        command = [sys.executable, str(packed.SOURCE / "scripts/gpu-check"), "--run", str(self.folder), "--out", str(self.report), "--only", "tests/*"]
        done = subprocess.run(["timeout", "3", *command], env=self.environment(), cwd=self.root, stdout=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, 124)
        self.eventually(lambda: self.told() and self.all["stopped"])
        self.assertEqual(self.told()["tests/cuda_sample_gpu_test"]["message"], "stopped by SIGTERM")
        self.check_nothing_is_left()


if __name__ == "__main__":
    packed.main()
