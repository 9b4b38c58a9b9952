"""What the parts measure on the machine, the criteria that are judged by it, and the table that ends the output."""
import math
import sys

import packed
from packed import LARGE, MIDDLE, SMALL

BASELINE = "import json\nprint(json.dumps({'step_ms': 5.0}))\n"


class Memory(packed.PackedTest):
    def outcome(self, code=0, **scenario):
        self.scenario(**scenario)
        return self.run_checks("--only", f"bench/memory/{SMALL}", code=code)[f"bench/memory/{SMALL}"]

    def estimates(self):
        return [call[2:] for call in self.calls() if call[:2] == ["saemill", "estimate"]]

    def test_of_the_process(self):
        check = self.outcome()
        self.assertEqual(check["message"], "estimate 1070 MB, driver 1049 MB: +2.0 %")
        figures = check["figures"]
        self.assertEqual((figures["memory_required"], figures["driver_bytes"], figures["by"]), (1020 << 20, 1000 << 20, "process"))
        self.assertAlmostEqual(figures["ratio"], 1.02)
        self.assertEqual(figures["clocks"]["watts_most"], 650.5)
        self.assertEqual(["--calibrate" in words for words in self.estimates()], [False, True, False], "measured where it was not yet")

    def test_after_calibrate(self):
        self.run_checks("--only", f"calibrate,bench/memory/{SMALL}")
        self.assertEqual(["--calibrate" in words for words in self.estimates()], [True, False])

    def test_too_far_off(self):
        for estimate, off in ((1100, "+10.0 %"), (900, "-10.0 %")):
            check = self.outcome(code=1, **{"estimate MiB": estimate})
            self.assertTrue(check["message"].endswith(f"{off}; at most 5% are accepted"), check["message"])
            self.run_checks("--only", f"bench/step/{SMALL}/same-batch,bench/memory/{SMALL}", code=1)
            criterion = next(one for one in self.all["criteria"] if one["name"] == f"estimate_off_percent {SMALL}")
            self.assertEqual((round(criterion["value"]), criterion["required"], criterion["met"]), (float(off.split()[0]), 5, False))

    def test_in_a_container(self):
        check = self.outcome(**{"process MiB": None, "total MiB": 1030})
        self.assertIn("by the total's difference, since nvidia-smi does not list the process", check["message"])
        self.assertEqual((check["figures"]["by"], check["figures"]["driver_bytes"]), ("total", 1030 << 20))

    def test_what_was_not_seen_at_its_most_is_looked_at_again(self):
        check = self.outcome(**{"plan MiB": 1001})
        self.assertEqual(check["status"], "ok")
        self.assertEqual(len([call for call in self.calls() if call[:3] == ["saemill-worker", "bench", "memory"]]), 3)

    def test_without_nvidia_smi(self):
        (self.tools / "nvidia-smi").unlink()
        self.assertEqual(self.outcome()["message"], "absent: this machine has no nvidia-smi")


class Deeper(packed.PackedTest):
    def test_clocks_beside_a_bench(self):
        name = f"bench/step/{SMALL}"
        clocks = self.run_checks("--only", name)[name]["figures"]["clocks"]
        samples = clocks.pop("samples")
        self.assertEqual(clocks.pop("busy_samples"), samples // 3 * 2, "the clock of a GPU that waits is none of the bench's")
        self.assertEqual(clocks, {"sm_mhz_least": 1500, "sm_mhz_median": 1740, "watts_most": 650.5, "celsius_most": 61})
        self.assertIn("1980 MHz", self.log(f"{name}/clocks.csv"))
        (self.tools / "nvidia-smi").unlink()
        self.assertIsNone(self.run_checks("--only", name)[name]["figures"]["clocks"])
        self.check_nothing_is_left()

    def test_a_profile(self):
        name = f"profile/{SMALL}"
        check = self.run_checks("--only", name)[name]
        self.assertEqual(check["message"], "2 kernels: nvjet_tst_128 75%, saemill::select 25%")
        self.assertEqual(check["figures"]["kernels"], [
            {"name": "nvjet_tst_128", "count": 1, "us": 6, "share": 0.75, "dram_percent": 80, "registers": 66, "active_warps_percent": None},
            {"name": "saemill::select", "count": 2, "us": 2, "share": 0.25, "dram_percent": 45, "registers": 65, "active_warps_percent": 50}])
        step = next(call for call in self.calls() if call[:3] == ["saemill-worker", "bench", "step"])
        self.assertEqual(" ".join(step[3:]), f"--devices gpu:0 --shape {SMALL} --same-batch --warmup 0 --repeats 1 --no-floors --json")

    def test_a_profile_that_is_refused(self):
        name = f"profile/{SMALL}"
        self.scenario(**{"ncu refuses": "ERR_NVGPUCTRPERM - no permission"})
        check = self.run_checks("--only", name)[name]
        self.assertEqual((check["status"], check["message"]), ("skipped", "refused (exit code 1): ==ERROR== ERR_NVGPUCTRPERM - no permission"))
        self.scenario(**{"saemill-worker bench step": {"does": "crash"}})
        self.assertIn("ncu: exit code", self.run_checks("--only", name, code=1)[name]["message"])
        (self.tools / "ncu").unlink()
        self.assertEqual(self.run_checks("--only", name)[name]["status"], "skipped")

    def test_selection(self):
        name = f"bench/select/{SMALL}"
        check = self.run_checks("--only", name)[name]
        message = ("best 64 MiB, algorithm 2: 0.600 ms (GEMM 0.300, selection 0.400); "
                   "default 128 MiB, algorithm 0: 0.900 ms (GEMM 0.400, selection 0.500); 1.50 times as fast")
        self.assertEqual((check["message"], len(check["figures"]["points"])), (message, 2))
        self.assertEqual(self.output.splitlines()[-1], f"select {SMALL}: {message}")


class Criteria(packed.PackedTest):
    def criteria(self, *words, **more):
        self.run_checks(*words, **more)
        return {one["name"]: (one["value"], one["required"], one["met"]) for one in self.all["criteria"]}

    def test_met(self):
        (self.folder / "torch_sae.py").write_text(BASELINE)
        told = self.criteria("--only", f"bench/step/{SMALL}*,baseline/{SMALL},bench/memory/{SMALL}")
        self.assertEqual(told.pop(f"estimate_off_percent {SMALL}")[1:], (5, True))
        self.assertEqual(told, {f"step_ms {SMALL}": (0.5, 1.0, True), f"times_dense {SMALL}": (10, 3, True),
                                f"data_wait_percent {SMALL}": (0.8, 1, True)})
        lines = self.output.splitlines()
        self.assertEqual(lines[-1].split(), [SMALL, "0.500", "1", "10.00", "3", "0.80", "+2.0", "select", "1.6"])
        self.assertIn("data_wait %", lines[-2])

    def test_missed(self):
        """What was measured worked: its status stays, and the criterion says it."""
        (self.folder / "torch_sae.py").write_text(BASELINE.replace("5.0", "0.6"))
        self.scenario(data_wait=0.02)
        told = self.criteria("--only", f"bench/step/{SMALL}*,baseline/{SMALL}")
        self.assertEqual({check["status"] for check in self.all["checks"]}, {"ok"})
        self.assertEqual(told, {f"step_ms {SMALL}": (0.5, 1.0, True), f"times_dense {SMALL}": (1.2, 3, False),
                                f"data_wait_percent {SMALL}": (4, 1, False), f"estimate_off_percent {SMALL}": (None, 5, None)})
        self.assertEqual(self.output.splitlines()[-1], f"NOT MET: times_dense {SMALL}; data_wait_percent {SMALL}")

    def test_of_what_was_not_measured(self):
        told = self.criteria("--only", "tests/cuda_sample*")
        self.assertEqual(told, {})
        self.assertTrue(self.output.splitlines()[-1].endswith(str(self.report)), "no table")

    def test_in_a_run_that_goes_on(self):
        """The two may be measured by different runs."""
        (self.folder / "torch_sae.py").write_text(BASELINE)
        self.criteria("--only", f"baseline/{SMALL}")
        told = self.criteria("--only", f"bench/step/{SMALL}/same-batch", "--continue", self.report)
        self.assertEqual(told[f"times_dense {SMALL}"], (10, 3, True))

    def test_all_sizes_in_one_table(self):
        self.criteria("--only", "bench/step/*")
        sizes = [line.split()[0] for line in self.output.splitlines()[-3:]]
        self.assertEqual(sizes, [SMALL, MIDDLE, LARGE])
        self.assertTrue(all(len(line) < 140 for line in self.output.splitlines()[-4:]))

    def test_names_of_kernels(self):
        sys.path.insert(0, str(self.folder))
        sys.dont_write_bytecode = True
        from gpu_check import check_profile
        for name, short in (("void saemill::(anonymous namespace)::adam<(int)4>(float *)", "saemill::adam"),
                            ("void cub::DeviceRadixSort<cub::P<int>, 1>(T1)", "cub::DeviceRadixSort"), ("sm90_xmma_gemm", "sm90_xmma_gemm")):
            self.assertEqual(check_profile.short(name), short)
        self.assertTrue(math.isclose(check_profile.value_of("1,234.5"), 1234.5))
        self.assertEqual(check_profile.launches('"ID","Kernel Name"\n"1","f"\n'), [], "another page of ncu's")


if __name__ == "__main__":
    packed.main()
