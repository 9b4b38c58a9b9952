"""Checkpoints that a person chooses or deletes, with real launchers and workers."""
import os
import random
import time

from trainings import ENDLESS, LONG, TrainingsTest, config, eventually, kill, launchers_of, processes_of, serving

EVERY = 50
KILLS = int(os.environ.get("SAEMILL_KILLS", "3"))


def name_of(step):
    return f"step-{step:08}"


class Checkpoints(TrainingsTest):
    def setUp(self):
        self.server = self.train()

    def names(self, training):
        return [one["name"] for one in self.server.get(f"trainings/{training}/checkpoints").json["data"]]

    def on_disk(self, training):
        return sorted(path.name for path in (self.server.run_folder(training) / "checkpoints").iterdir())

    def paused_after(self, shape, step):
        training = self.server.submit(shape, max_restarts=1000)
        self.server.until_step(training, step)
        self.server.control(training, "pause")
        self.server.until_status(training, "paused")
        return training

    def shape(self, steps=LONG):
        shape = config(steps, checkpoint_every=EVERY)
        shape["checkpoint"]["keep_last"] = 100
        return shape

    def rewinds(self, training):
        return [event for event in self.server.run_events(training) if event["event"] == "rewind"]

    def test_resume_from_one(self):
        server, shape = self.server, self.shape()
        training = self.paused_after(shape, 220)
        refused = server.post(f"trainings/{training}/control", {"action": "resume", "checkpoint": name_of(55)})
        problem = self.check_problem(refused, 422, "invalid_request")
        self.assertIn(name_of(100), problem["errors"][0]["accepted"])
        resumed = server.control(training, "resume", checkpoint=name_of(100))
        self.assertEqual(resumed["from_checkpoint"], name_of(100))
        self.complete(training, shape)
        self.assertNotIn("from_checkpoint", server.training(training))
        self.assertEqual([(event["step"], event["chosen"]) for event in self.rewinds(training)], [(100, True)])
        started = [event["step"] for event in server.run_events(training) if event["event"] == "started"]
        self.assertEqual(started, [0, 100])
        self.check_all_free()

    def strike(self, training):
        """The launcher, the server, or both."""
        victim = random.choice(("launcher", "server", "both"))
        launchers = launchers_of(training)
        if victim != "launcher":
            self.server.kill()
        if victim != "server":
            kill(launchers)
        if victim != "launcher":
            self.server.start()

    def test_a_choice_comes_true_once_whoever_is_killed(self):
        server, shape = self.server, self.shape()
        training = self.paused_after(shape, 220)
        server.control(training, "resume", checkpoint=name_of(100))
        for _ in range(KILLS):
            time.sleep(random.uniform(0, 0.35))
            self.strike(training)
        self.complete(training, shape)
        self.assertEqual([event["step"] for event in self.rewinds(training) if event.get("chosen")], [100])
        self.check_all_free()

    def test_newer_ones_are_never_taken_up_again(self):
        """The launcher is killed as soon as it is there, so that no newer checkpoint has been made."""
        server, shape = self.server, self.shape()
        training = self.paused_after(shape, 220)
        before = self.names(training)
        self.assertIn(name_of(200), before)
        server.control(training, "resume", checkpoint=name_of(100))
        for _ in range(3):
            launcher = eventually(lambda: launchers_of(training))
            time.sleep(random.uniform(0, 0.3))
            kill(launcher)
            eventually(lambda launcher=launcher: not set(launcher) & set(processes_of(training)))
            steps = [int(name.removeprefix("step-")) for name in self.names(training)]
            if self.rewinds(training):
                self.assertTrue(all(step <= server.training(training)["current_step"] for step in steps), steps)
            else:
                self.assertEqual(self.names(training), before, "nothing is lost before the choice is written down")
        self.complete(training, shape)
        self.assertEqual([event["step"] for event in self.rewinds(training) if event.get("chosen")], [100])
        started = [event["step"] for event in server.run_events(training) if event["event"] == "started"]
        self.assertEqual(started[1] if len(started) > 1 else 100, 100)
        self.check_all_free()

    def test_retry_from_one_after_a_restart_of_the_server(self):
        server, shape = self.server, self.shape()
        training = server.submit(shape, max_restarts=1000)
        server.until_step(training, 220)
        server.control(training, "cancel")
        self.check_all_free()
        server.control(training, "retry", checkpoint=name_of(50))
        server.kill()
        server.start()
        self.complete(training, shape)
        self.assertEqual([event["step"] for event in self.rewinds(training) if event.get("chosen")], [50])

    def test_delete(self):
        server, shape = self.server, self.shape(ENDLESS)
        training = server.submit(shape, max_restarts=1000)
        server.until_step(training, 170)
        path = f"/api/v1/trainings/{training}/checkpoints/"
        self.check_problem(server.ask("DELETE", path + name_of(50)), 409, "bad_state")
        server.control(training, "pause")
        server.until_status(training, "paused")
        newest = self.names(training)[-1]
        problem = self.check_problem(server.ask("DELETE", path + newest), 409, "bad_state")
        self.assertIn("goes on from this checkpoint", problem["detail"])
        self.assertEqual(server.ask("DELETE", path + name_of(50)).status, 204)
        self.check_problem(server.ask("DELETE", path + name_of(50)), 404, "not_found")
        self.assertNotIn(name_of(50), self.names(training))
        self.assertEqual(self.on_disk(training), self.names(training))
        server.control(training, "cancel")
        for name in self.names(training):
            self.assertEqual(server.ask("DELETE", path + name).status, 204)
        self.assertEqual((self.names(training), self.on_disk(training)), ([], []))
        server.control(training, "retry")  # from its beginning
        server.until(training, lambda seen: seen["status"] == "running" and seen["attempt"] == 2)
        self.assertEqual([event["step"] for event in server.run_events(training) if event["event"] == "started"], [0, 0])

    def test_priority(self):
        server = self.server
        holder = server.submit(config(ENDLESS), gpu_ids=[0])
        server.until_step(holder, 5)
        first, second = (server.submit(config(50), gpu_ids=[0]) for _ in range(2))
        problem = self.check_problem(server.post(f"trainings/{holder}/control", {"action": "prioritize", "priority": 9}), 409, "bad_state")
        self.assertIn("running", problem["detail"])
        self.assertEqual(server.control(second, "prioritize", priority=90)["priority"], 90)
        self.assertIn("prioritize", server.training(second)["actions"])
        server.control(holder, "cancel")
        for training in (first, second):
            self.complete(training, config(50))
        self.assertLess(server.training(second)["started_at"], server.training(first)["started_at"])


if __name__ == "__main__":
    serving.main()
