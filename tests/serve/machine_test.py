"""What `saemill` makes of a driver that is slow or refuses, of a container, and of CUDA_VISIBLE_DEVICES."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import serving
from serving import PROGRAM, gpu_uuid

FAKE_WORKER = os.environ["SAEMILL_FAKE_WORKER"]
SLOW_START = {"at_s": 0, "hang_s": 4, "call": "nvmlInitWithFlags"}  # longer than what is needed to be called hanging
STARTED = {"say": {"event": "started", "step": 0, "plan": {"mode": "replicate"}}}
FINISHED = {"say": {"event": "finished", "step": 5, "finalized_early": False,
                    "report": {"fvu": 0.25, "l0": 4, "dead_fraction": 0, "activations_per_second": 1, "steps": 5, "seconds": 1}}}
SCRIPT = {"inspect": {"files": 1, "rows": 16384, "d_in": 256, "dtype": "F16", "tensor": "activations", "bytes": 8388608},
          "devices": {"problem": "", "gpus": []}, "checkpoints": {"step": None, "warnings": []},
          "attempts": [{"0": [STARTED, {"make_sae": 1}, FINISHED, {"exit": 0}]}]}
CONFIG = {"name": "t", "activations": {"path": str(serving.ACTIVATIONS)}, "sae": {"d_sae": 512, "k": 16},
          "train": {"batch_size": 512, "steps": 5}}


class MachineTest(serving.ServingTest):
    """Commands on a machine of fake GPUs where no server runs."""

    def machine(self, gpus, **changes):
        self.host = self.serve(gpus)
        self.host.environment["FAKE_WORKER_SCRIPT"] = json.dumps(SCRIPT)
        self.host.environment.pop("CUDA_VISIBLE_DEVICES", None)
        self.host.write(**changes)
        (self.host.folder / "config.json").write_text(json.dumps(CONFIG))
        return self.host

    def saemill(self, *words, before=(), **environment):
        return subprocess.run([*before, PROGRAM, *words], capture_output=True, text=True, timeout=90, cwd=self.host.folder,
                              env={**self.host.environment, **environment}, check=False)

    def json(self, *words, **more):
        answer = self.saemill(*words, "--json", **more)
        self.assertTrue(answer.stdout, answer)
        return json.loads(answer.stdout)

    def train(self, devices, *words, **environment):
        """The command's outcome, and the devices that it began on; None: it did not begin."""
        run = self.host.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        answer = self.saemill("train", "config.json", "--worker", FAKE_WORKER, "--out", str(run), "--devices", devices,
                              "--progress", "none", *words, **environment)
        events = run / "events.jsonl"
        lines = map(json.loads, events.read_text().splitlines()) if events.exists() else ()
        return answer, next((event["devices"] for event in lines if event["event"] == "started"), None)


class SlowDriver(MachineTest):
    def test_the_first_reading_is_waited_for(self):
        self.machine(2, events=[SLOW_START])
        for words in (("gpus",), ("gpus", "validate", "gpu:1")):
            answer = self.saemill(*words)
            self.assertEqual(answer.returncode, 0, answer)
            self.assertIn("waiting for the NVIDIA driver", answer.stderr)
        self.assertEqual(self.json("estimate", "config.json", "--worker", FAKE_WORKER)["devices"][0]["gpu"], "gpu:0")
        checks = {check["id"]: check["status"] for check in self.json("doctor")["checks"]}
        self.assertEqual(checks["driver"], "ok")

    def test_trainings_find_their_gpu(self):
        self.machine(2, events=[SLOW_START])
        for devices, expected in (("auto", "gpu:0"), ("gpu:1", "gpu:1")):
            answer, began_on = self.train(devices)
            self.assertEqual((answer.returncode, began_on), (0, [expected]), answer)

    def test_a_quick_driver_is_no_matter_for_words(self):
        self.machine(2)
        self.assertEqual(self.saemill("gpus").stderr, "")

    def test_a_driver_that_refuses_is_no_reason_for_the_cpu(self):
        self.machine(2, errors={"nvmlInitWithFlags": 18})  # its library is of another version: it was updated
        for devices in ("auto", "auto:2", "gpu:0", gpu_uuid(1)):
            answer, began_on = self.train(devices)
            self.assertEqual((answer.returncode, began_on), (75, None), answer)
            self.assertIn("the NVIDIA driver is failing: library and kernel driver differ in version", answer.stderr)
        answer, began_on = self.train("cpu:0")
        self.assertEqual((answer.returncode, began_on), (0, ["cpu:0"]), answer)

    def test_a_library_without_driver_or_gpu_means_the_cpu(self):
        """As where the driver's package is installed on a machine without a GPU."""
        if any(path.read_text().strip() == "0x10de" for path in pathlib.Path("/sys/bus/pci/devices").glob("*/vendor")):
            raise unittest.SkipTest("this machine has something of NVIDIA's")
        self.machine(1, errors={"nvmlInitWithFlags": 9})
        answer, began_on = self.train("auto")
        self.assertEqual((answer.returncode, began_on), (0, ["cpu:0"]), answer)

    def test_no_driver_at_all_means_the_cpu(self):
        self.machine(1)
        self.host.environment.pop("LD_LIBRARY_PATH")
        driver = next(check for check in self.json("doctor")["checks"] if check["id"] == "driver")
        if driver["status"] != "note":
            raise unittest.SkipTest("this machine has an NVIDIA driver: " + driver["message"])
        answer, began_on = self.train("auto")
        self.assertEqual((answer.returncode, began_on), (0, ["cpu:0"]), answer)
        answer, began_on = self.train("gpu:0")
        self.assertEqual((answer.returncode, began_on), (64, None), answer)

    def test_a_watch_begins_at_once(self):
        self.machine(1, events=[SLOW_START])
        command = [PROGRAM, "gpus", "--watch", "--json", "--interval", "0.5"]
        with subprocess.Popen(serving.bound_to_us(command), stdout=subprocess.PIPE, text=True, env=self.host.environment) as watch:
            counts = [json.loads(watch.stdout.readline())["gpu_count"]]
            while counts[-1] == 0 and len(counts) < 60:
                counts.append(json.loads(watch.stdout.readline())["gpu_count"])
            watch.terminate()
        self.assertEqual((counts[0], counts[-1]), (0, 1), counts)


class Container(MachineTest):
    def inside(self, *options, script='exec "$@"'):
        """A command in namespaces of its own, with root's rights in them."""
        for user in ((), ("--user", "--map-root-user")):
            before = ["unshare", *user, "--fork", *options, "sh", "-c", script, "sh"]
            if subprocess.run([*before, "true"], capture_output=True, check=False).returncode == 0:
                return before
        raise unittest.SkipTest("no namespaces may be made here: unshare " + " ".join(options))

    def checks(self, before=()):
        return {check["id"]: check for check in self.json("doctor", before=before)["checks"]}

    def test_pids_of_its_own_are_told(self):
        self.machine(2)
        before = self.inside("--pid", "--mount-proc")
        self.assertEqual(self.checks(before)["container"]["status"], "warning")
        if os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":
            self.assertEqual(self.checks()["container"]["status"], "ok")

    def test_a_gpu_in_use_outside_is_not_free(self):
        self.machine(2)
        self.host.scenario["gpus"][0]["memory_used"] = 9_000_000_000  # of a process that is listed to nobody in here
        self.host.write()
        before = self.inside("--pid", "--mount-proc")
        used, free = self.json("gpus", before=before)["gpus"]
        self.assertEqual((used["availability"], used["reason"]["code"]), ("foreign", "hidden_process"))
        self.assertEqual(free["availability"], "free")
        answer = self.saemill("gpus", "recommend", "--json", before=before)
        self.assertEqual(json.loads(answer.stdout)["choices"][0]["gpu_ids"], [1])
        if os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":
            self.assertEqual(self.json("gpus")["gpus"][0]["availability"], "free")

    def test_little_shared_memory_is_told_where_there_are_several_gpus(self):
        self.machine(2)
        small = self.inside("--mount", script='mount -t tmpfs -o size=64m none /dev/shm && exec "$@"')
        check = self.checks(small)["shared_memory"]
        self.assertEqual(check["status"], "warning")
        self.assertIn("67 MB", check["message"])
        self.assertIn("--shm-size=1g", check["fix"])
        large = self.inside("--mount", script='mount -t tmpfs -o size=1g none /dev/shm && exec "$@"')
        self.assertEqual(self.checks(large)["shared_memory"]["status"], "ok")
        self.machine(1)
        self.assertNotIn("shared_memory", self.checks(small))


class VisibleDevices(MachineTest):
    def test_only_those_are_offered(self):
        self.machine(4)
        answer = self.saemill("gpus", "--json", CUDA_VISIBLE_DEVICES="2,3")
        self.assertIn("CUDA_VISIBLE_DEVICES=2,3: of this machine's GPUs only gpu:2, gpu:3 may be used", answer.stderr)
        gpus = json.loads(answer.stdout)["gpus"]
        self.assertEqual([gpu["availability"] for gpu in gpus], ["prohibited"] * 2 + ["free"] * 2)
        self.assertEqual(gpus[0]["reason"], {"code": "not_visible", "message": "it is not among CUDA_VISIBLE_DEVICES=2,3"})
        two = self.json("gpus", "recommend", "--count", "2", CUDA_VISIBLE_DEVICES="2,3")
        self.assertEqual(two["choices"][0]["gpu_ids"], [2, 3])
        three = self.saemill("gpus", "recommend", "--count", "3", CUDA_VISIBLE_DEVICES="2,3")
        self.assertEqual(three.returncode, 1, three)
        self.assertIn("gpu:0: it is not among CUDA_VISIBLE_DEVICES=2,3", three.stderr)
        wrong = self.json("gpus", "validate", "0", CUDA_VISIBLE_DEVICES=gpu_uuid(2))["errors"][0]
        self.assertEqual((wrong["code"], wrong["value"]), ("prohibited", "not_visible"))
        estimate = self.json("estimate", "config.json", "--worker", FAKE_WORKER, CUDA_VISIBLE_DEVICES="3")
        self.assertEqual(estimate["devices"][0]["gpu"], "gpu:3")
        self.assertEqual(self.saemill("gpus", CUDA_VISIBLE_DEVICES="").stderr, "")

    def test_trainings_keep_to_them(self):
        self.machine(4)
        for devices, visible, expected in (("auto", "2,3", "gpu:2"), ("auto", gpu_uuid(3)[:12], "gpu:3"), ("gpu:3", "3", "gpu:3")):
            answer, began_on = self.train(devices, CUDA_VISIBLE_DEVICES=visible)
            self.assertEqual((answer.returncode, began_on), (0, [expected]), answer)
        answer, began_on = self.train("gpu:3", CUDA_VISIBLE_DEVICES="0,1")
        self.assertEqual((answer.returncode, began_on), (64, None), answer)
        self.assertIn("gpu:3 (NVIDIA H200): it is not among CUDA_VISIBLE_DEVICES=0,1", answer.stderr)
        self.assertEqual(self.train("auto:3", CUDA_VISIBLE_DEVICES="0,1")[0].returncode, 64)

    def test_none_means_the_cpu_and_is_said(self):
        self.machine(2)
        answer, began_on = self.train("auto", CUDA_VISIBLE_DEVICES="-1")
        self.assertEqual((answer.returncode, began_on), (0, ["cpu:0"]), answer)
        self.assertIn("CUDA_VISIBLE_DEVICES leaves no GPU", answer.stderr)

    def test_what_a_server_has_leased_is_not_asked_again(self):
        self.machine(2)
        answer, began_on = self.train("gpu:0", "--leased-to", "t-1", CUDA_VISIBLE_DEVICES="1")
        self.assertEqual((answer.returncode, began_on), (0, ["gpu:0"]), answer)

    def test_a_server_leases_only_those(self):
        server = self.machine(2)
        server.environment["CUDA_VISIBLE_DEVICES"] = "1"
        server.start()
        first, second = server.get("system/gpus").json["gpus"]
        self.assertEqual((first["availability"], first["reason"]["code"]), ("prohibited", "not_visible"))
        self.assertEqual(second["availability"], "free")
        self.assertEqual(server.get("system/gpus/recommend").json["choices"][0]["gpu_ids"], [1])
        self.check_problem(server.get("system/gpus/recommend?count=2"), 409, "insufficient_gpus")


if __name__ == "__main__":
    serving.main()
