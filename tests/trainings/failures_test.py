"""What ends a training, what is worth a restart, and what a person reads of it."""
import json
import os
import shutil
import signal

from trainings import ACTIVATIONS, FAKE_WORKER, TrainingsTest, config, kill, ranks_of, serving

STEPS = 100
STARTED = {"say": {"event": "started", "step": 0, "plan": {"mode": "replicate"}}}
FINISHED = {"say": {"event": "finished", "step": STEPS, "finalized_early": False,
                    "report": {"fvu": 0.25, "l0": 4, "dead_fraction": 0, "activations_per_second": 1, "steps": STEPS, "seconds": 1}}}
CHECKPOINT = {"say": {"event": "checkpoint", "step": 20, "path": "checkpoints/step-00000020", "bytes": 1}}


def metrics(step, loss=1):
    return {"say": {"event": "metrics", "step": step, "values": {"loss": loss}}}


def leader(*actions):
    """A rank 0 that trains to the end after these."""
    return [STARTED, *actions, {"make_sae": 1}, FINISHED, {"exit": 0}]


class Scripts(TrainingsTest):
    """tests/fake_worker plays the ranks."""

    def play(self, *attempts, checkpoint=None, **more):
        """A training whose ranks do this, {rank: actions} for each attempt, the last one again and again."""
        server = self.train(["--worker", FAKE_WORKER], start=False)
        server.environment["FAKE_WORKER_SCRIPT"] = json.dumps({
            "inspect": {"files": 1, "rows": 16384, "d_in": 256, "dtype": "F16", "tensor": "activations", "bytes": 8388608},
            "checkpoints": {"step": checkpoint, "warnings": []},
            "attempts": attempts})
        server.start()
        return server.submit(config(STEPS), **more)

    def fails(self, training, restarts, *words):
        seen = self.server.until_status(training, "failed")
        self.assertEqual(seen["restarts"], restarts)
        for word in words:
            self.assertIn(word, seen["error"])
        self.assertEqual(seen["reason"]["code"], "failed")
        self.check_all_free()
        return seen

    def test_half_wrong_and_huge_lines(self):
        training = self.play({"0": leader({"raw": '{"event": "metr'}, {"sleep": 0.3},
                                          {"raw": 'ics", "rank": 0, "step": 5, "values": {"loss": 2}}\n'}, {"raw": "not json\n"},
                                          {"raw": '{"event": "metrics", "rank": 0, "step": -1, "values": 7}\n'}, {"huge": 200_000}, metrics(10))})
        self.server.until_status(training, "completed")
        found = self.server.get(f"trainings/{training}/metrics?names=loss").json
        self.assertEqual((found["step"], found["series"]["loss"]["mean"]), ([5, 10], [2, 1]))
        warnings = [event for event in self.server.run_events(training) if event["event"] == "warning"]
        self.assertEqual(warnings[-1]["count"], 3, warnings)
        self.check_all_free()

    def test_exit_codes_that_say_why(self):
        for code in (65, 70, 78):
            with self.subTest(code):
                training = self.play({"0": [STARTED, {"print": "what the rank said"}, metrics(10), {"exit": code}]}, max_restarts=5)
                self.fails(training, 0, "rank 0 (cpu:", "step 10", str(code))
                self.assertIn("what the rank said", self.server.get(f"trainings/{training}/logs?rank=0").body.decode())

    def test_a_peer_that_fails(self):
        training = self.play({"0": [STARTED, metrics(10), {"beat": 60}], "1": [{"beat": 0.5}, {"exit": 65}]}, gpu_ids=[1, 2])
        self.fails(training, 0, "rank 1 (cpu:2)", "65")

    def test_worth_a_restart_until_they_are_used_up(self):
        for last, words in (({"exit": 75}, "75"), ({"kill": int(signal.SIGSEGV)}, "11")):
            with self.subTest(last):
                training = self.play({"0": [STARTED, metrics(10), last]}, max_restarts=2)
                seen = self.fails(training, 2, "rank 0 (cpu:", words)
                self.assertIn("2 restarts are used up", seen["reason"]["message"])
                self.assertEqual(len([event for event in self.server.run_events(training) if event["event"] == "started"]), 3)

    def test_a_restart_replaces_metrics(self):
        training = self.play({"0": [STARTED, metrics(10), metrics(20), CHECKPOINT, metrics(30, loss=5), {"kill": int(signal.SIGKILL)}]},
                             {"0": leader(metrics(30, loss=6), metrics(40))}, checkpoint=20, hold=True)
        (self.server.run_folder(training) / CHECKPOINT["say"]["path"]).mkdir(parents=True)
        self.server.control(training, "release")
        done = self.server.until_status(training, "completed")
        self.assertEqual(done["restarts"], 1)
        found = self.server.get(f"trainings/{training}/metrics?names=loss").json
        self.assertEqual((found["step"], found["series"]["loss"]["mean"]), ([10, 20, 30, 40], [1, 1, 6, 1]))
        self.check_all_free()

    def test_an_end_without_a_report(self):
        training = self.play({"0": [STARTED, metrics(10), {"exit": 0}]})
        self.fails(training, 0, "without")

    def test_an_end_without_an_sae(self):
        training = self.play({"0": [STARTED, metrics(10), FINISHED, {"exit": 0}]})
        self.fails(training, 0, "SAE")

    def test_nothing_outlives_its_training(self):
        training = self.play({"0": [{"grandchild": 1}, {"escaped_grandchild": 1}, STARTED, metrics(10), {"beat": 60}]})
        self.server.until_step(training, 10)
        self.server.control(training, "cancel")
        self.server.until_status(training, "cancelled")
        self.check_all_free()

    def test_silence(self):
        if int(os.environ.get("SAEMILL_KILLS", "3")) < 20:
            self.skipTest("it takes the launcher's deadline of 60 s; run by scripts/soak")
        training = self.play({"0": [STARTED, metrics(10), {"beat": 1}, {"silence": 1}]}, {"0": leader(metrics(10))}, max_restarts=1)
        self.assertEqual(self.server.until_status(training, "completed", seconds=200)["restarts"], 1)
        self.check_all_free()


class Data(TrainingsTest):
    """Activations that were accepted and are gone, or something else, later."""

    def setUp(self):
        self.server = self.train()
        self.folder = self.server.copy_activations("vanishing")
        self.shape = config(300, activations=self.folder)

    def mend(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(ACTIVATIONS, self.folder)

    def fails_until_mended(self, training):
        failed = self.server.until_status(training, "failed")
        self.assertIn(str(self.folder), failed["error"])
        self.check_all_free()
        self.mend()
        self.server.control(training, "retry")
        self.complete(training, self.shape)
        self.check_all_free()

    def test_gone_before_the_start(self):
        training = self.server.submit(self.shape, hold=True)
        shutil.rmtree(self.folder)
        self.server.control(training, "release")
        self.fails_until_mended(training)

    def test_gone_while_paused(self):
        training = self.server.submit(self.shape)
        self.server.until_step(training, 10)
        self.server.control(training, "pause")
        self.server.until_status(training, "paused")
        shutil.rmtree(self.folder)
        self.server.control(training, "resume")
        self.fails_until_mended(training)

    def test_gone_before_a_restart(self):
        training = self.server.submit(self.shape)
        self.server.until_step(training, 10)
        shutil.rmtree(self.folder)
        kill(ranks_of(training))
        self.fails_until_mended(training)

    def test_cut_off_under_the_reader(self):
        """Whatever the reader sees, it does not train on it."""
        training = self.server.submit(self.shape)
        self.server.until_step(training, 10)
        with open(next(self.folder.glob("*.safetensors")), "r+b") as shard:
            shard.truncate(100_000)
        self.fails_until_mended(training)


if __name__ == "__main__":
    serving.main()
