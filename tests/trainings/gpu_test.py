"""Trainings on GPUs of a fake driver, whose ranks tests/fake_worker plays."""
import json

from failures_test import STARTED, STEPS, leader, metrics
from trainings import FAKE_WORKER, TrainingServer, TrainingsTest, config, serving
from serving import gpu_uuid


class Gpus(TrainingsTest):
    def play(self, *attempts, gpus=2, checkpoint=None, start=True):
        """A server, with attempts of the ranks as in failures_test."""
        server = TrainingServer(["--worker", FAKE_WORKER], gpus=gpus)
        self.addCleanup(server.close)
        # Where launchers look by themselves: they must find their devices leased, and know that it is to them.
        server.data = server.folder / "xdg/saemill"
        server.environment["FAKE_WORKER_SCRIPT"] = json.dumps({
            "inspect": {"files": 1, "rows": 16384, "d_in": 256, "dtype": "F16", "tensor": "activations", "bytes": 8388608},
            "devices": {"problem": "", "gpus": []}, "checkpoints": {"step": checkpoint, "warnings": []}, "attempts": attempts})
        self.server = server
        return server.start() if start else server

    def lose(self, gpu):
        self.server.write(events=[{"at_s": 0, "gpu": gpu, "lost": True}])
        found = serving.eventually(lambda: self.device(gpu)["availability"] in ("lost", "unhealthy"))
        self.assertTrue(found, self.device(gpu))

    def device(self, gpu):
        return self.server.get(f"system/gpus/{gpu}").json

    def test_two_gpus_by_name(self):
        server = self.play({"0": leader({"beat": 2}, metrics(10)), "1": [{"beat": 3}]})
        training = server.submit(config(STEPS), gpu_ids=["gpu:1", gpu_uuid(0)])
        server.until_step(training, 0)
        self.assertEqual([self.device(gpu)["current_job"] for gpu in (0, 1)], [training, training])
        self.assertEqual({self.device(gpu)["availability"] for gpu in (0, 1)}, {"leased"})
        done = server.until_status(training, "completed")
        self.assertEqual((done["world_size"], done["distributed"], done["gpu_ids"]), (2, True, [0, 1]))
        started = [event for event in server.run_events(training) if event["event"] == "started"]
        self.assertEqual(started[0]["device_uuids"], [gpu_uuid(0), gpu_uuid(1)])
        self.assertTrue(serving.eventually(lambda: {self.device(gpu)["availability"] for gpu in (0, 1)} == {"free"}))

    def test_nothing_goes_to_the_cpu_while_the_driver_starts(self):
        server = self.play({"0": leader(metrics(10))}, gpus=2, start=False)
        server.write(events=[{"at_s": 0, "hang_s": 6, "call": "nvmlInitWithFlags"}])
        server.start()
        anywhere = server.submit(config(STEPS))
        on_a_slot = server.submit(config(STEPS), gpu_ids=["cpu:1"])
        waits = server.until(anywhere, lambda seen: seen["reason"]["code"] == "driver")
        self.assertIn("the NVIDIA driver is ", waits["reason"]["message"])
        self.assertEqual(server.until_status(on_a_slot, "completed")["device_uuids"], [server.devices()[-3]["uuid"]])
        done = server.until_status(anywhere, "completed")
        self.assertEqual(done["device_uuids"], [gpu_uuid(done["gpu_ids"][0])], done)

    def test_a_slow_driver_is_waited_for(self):
        server = self.play({"0": leader(metrics(10))}, gpus=8, start=False)
        server.write(delays_ms={"nvmlDeviceGetUtilizationRates": 50})  # 400 ms for a reading
        server.start()
        trainings = [server.submit(config(STEPS)) for _ in range(3)]
        for training in trainings:
            server.until_status(training, "completed", seconds=60)

    def test_a_server_keeps_to_the_visible_ones(self):
        server = self.play({"0": leader({"beat": 2}, metrics(10))}, gpus=2, start=False)
        server.environment["CUDA_VISIBLE_DEVICES"] = "1"
        server.start()
        refusal = self.check_problem(server.post("trainings", {"config": config(STEPS), "gpu_ids": [0]}), 422, "invalid_request")
        self.assertIn("not among CUDA_VISIBLE_DEVICES=1", refusal["detail"])
        two = server.submit(config(STEPS), device_count=2)
        self.assertEqual(server.until_status(server.submit(config(STEPS)), "completed")["gpu_ids"], [1])
        waits = server.until(two, lambda seen: seen["reason"]["code"] == "prohibited")
        self.assertIn("gpu:0", waits["reason"]["message"])

    def test_a_lost_gpu_leaves_the_others_to_go_on(self):
        alive = [STARTED, metrics(10), {"beat": 60}]
        server = self.play({"0": alive, "1": [{"beat": 60}]}, {"0": leader(metrics(10))})
        training = server.submit(config(STEPS), gpu_ids=[0, 1], max_restarts=1)
        server.until_step(training, 10)
        self.lose(1)
        self.server.kill_ranks(training, "gpu:1")
        done = server.until_status(training, "completed")
        self.assertEqual((done["restarts"], done["world_size"], done["gpu_ids"]), (1, 1, [0]), done)

    def test_a_single_one_goes_on_elsewhere(self):
        server = self.play({"0": [STARTED, metrics(10), {"beat": 60}]}, {"0": leader(metrics(10))})
        training = server.submit(config(STEPS), max_restarts=1)
        first = server.until_step(training, 10)["gpu_ids"][0]
        self.lose(first)
        self.server.kill_ranks(training, f"gpu:{first}")
        done = server.until_status(training, "completed")
        self.assertEqual((done["restarts"], done["gpu_ids"]), (1, [1 - first]), done)

    def test_a_stranger_keeps_a_gpu(self):
        server = self.play({"0": leader(metrics(10))}, gpus=1)
        server.scenario["gpus"][0]["processes"] = [{"pid": 1, "memory_used": 1 << 30}]
        server.write()
        self.assertTrue(serving.eventually(lambda: self.device(0)["availability"] == "foreign"))
        training = server.submit(config(STEPS), gpu_ids=[0])
        waits = server.until(training, lambda seen: seen["reason"]["code"] in ("foreign_process", "devices_busy"))
        self.assertIn("process 1 of ", waits["reason"]["message"])
        server.scenario["gpus"][0]["processes"] = []
        server.write()
        server.until_status(training, "completed")


if __name__ == "__main__":
    serving.main()
