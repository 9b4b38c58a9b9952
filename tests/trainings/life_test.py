"""What a person does with trainings, against the real server, launchers and workers."""
import json
import shutil
import signal

from trainings import (ACTIVATIONS, ENDLESS, LONG, TrainingsTest, config, eventually, kill, launchers_of, processes_of,
                       ranks_of, serving)


class Story(TrainingsTest):
    def test_five_trainings_for_four_slots(self):
        server = self.train()
        spoilt_data = server.copy_activations("spoilt")
        shapes = {"pauses": config(1000, "pauses"), "goes": config(1000, "goes", seed=1), "early": config(ENDLESS, "early"),
                  "spoilt": config(300, "spoilt", spoilt_data), "fifth": config(300, "fifth", seed=2)}
        ids = {"spoilt": server.submit(shapes["spoilt"], hold=True)}  # so that its data can be spoilt once it is accepted
        shard = next(spoilt_data.glob("*.safetensors"))
        shard.write_bytes(shard.read_bytes()[:100_000])
        ids |= {name: server.submit(shapes[name]) for name in ("pauses", "goes", "early")}
        fourth = server.submit(config(ENDLESS, "fourth"))
        first_four = [ids["pauses"], ids["goes"], ids["early"], fourth]
        ids["fifth"] = server.submit(shapes["fifth"])
        running = []
        for training in first_four:
            running.append(server.until_status(training, "running"))
            kill(ranks_of(training), signal.SIGSTOP)  # none is over before all were seen, however fast this machine is
        self.assertEqual(sorted(one["gpu_ids"][0] for one in running), [0, 1, 2, 3])
        self.assertEqual({one["current_job"] for one in server.devices()}, set(first_four))
        waits = server.until(ids["fifth"], lambda seen: seen["reason"]["code"] == "devices_busy")
        self.assertEqual(waits["status"], "queued")
        self.assertTrue(any(holder in waits["reason"]["message"] for holder in first_four), f"it says not what would free a device: {waits['reason']}")

        for training in first_four:
            kill(ranks_of(training), signal.SIGCONT)
        server.until_step(ids["pauses"], 5)
        place = server.training(ids["pauses"])["gpu_ids"]
        server.control(ids["pauses"], "pause")
        paused = server.until_status(ids["pauses"], "paused")
        self.assertIn(paused["current_step"], [one["step"] for one in server.get(f"trainings/{ids['pauses']}/checkpoints").json["data"]])
        self.assertEqual(processes_of(ids["pauses"]), {})
        self.assertEqual(server.until_status(ids["fifth"], "running", "completed")["gpu_ids"], place)

        server.until_step(ids["early"], 50)
        other = server.training(fourth)["gpu_ids"]
        self.assertNotEqual(other, place)
        server.control(ids["pauses"], "resume", gpu_ids=other)
        server.control(fourth, "cancel")
        self.assertEqual(server.until_status(ids["pauses"], "running", "completed")["gpu_ids"], other)

        server.control(ids["early"], "finish")
        self.check_finished_early(ids["early"], shapes["early"])

        server.control(ids["spoilt"], "release")
        failed = server.until_status(ids["spoilt"], "failed")
        self.assertIn(shard.name, failed["error"])
        self.assertEqual(failed["restarts"], 0, "spoilt data is not worth a restart")
        shutil.copy(next(ACTIVATIONS.glob("*.safetensors")), shard)
        server.control(ids["spoilt"], "retry")
        for name in ("pauses", "goes", "fifth", "spoilt"):
            self.complete(ids[name], shapes[name])
        self.assertEqual(server.training(ids["pauses"])["gpu_ids"], other)
        self.check_all_free()
        self.assertEqual(self.told_of(ids["pauses"]), ["queued", "starting", "running", "pausing", "paused", "queued", "starting", "running", "finalizing", "completed"])
        self.assertEqual(self.told_of(ids["spoilt"]), ["queued", "queued", "starting", "failed", "queued", "starting", "running", "finalizing", "completed"])
        for name, device in (("pauses", place[0]), ("pauses", other[0]), ("fifth", place[0])):
            self.assertIn(ids[name], server.get(f"system/gpus/{device}/history?buckets=5000").json["job"])

    def told_of(self, training):
        """Every change of state is an event, with its reason."""
        events = [event for event in self.server.get("events?limit=500").json["data"][::-1] if event.get("training_id") == training]
        self.assertTrue(all(event["message"] for event in events))
        return [event["code"].removeprefix("training_") for event in events]


class Control(TrainingsTest):
    def setUp(self):
        self.server = self.train()

    def frozen(self, training):
        """Its ranks do nothing any more, so that what is in between stays for us to see."""
        self.assertGreater(kill(ranks_of(training), signal.SIGSTOP), 0)
        return training

    def training_that(self, status):
        """One that is so and stays so."""
        server = self.server
        shape = config(LONG)
        if status == "queued":
            return server.submit(shape, hold=True)
        training = server.submit(shape)
        if status == "starting":
            launcher = eventually(lambda: launchers_of(training))
            kill(launcher, signal.SIGSTOP)  # it hears nothing, and is killed after 10 s
            kill(ranks_of(training), signal.SIGSTOP)  # in 10 s one would train to its end, and nobody would write down what it measured
            self.assertEqual(server.training(training)["status"], "starting")
            return training
        server.until_step(training, 5)
        if status == "paused":
            server.control(training, "pause")
            server.until_status(training, "paused")
        else:
            self.frozen(training)
            if status != "running":
                server.control(training, {"pausing": "pause", "finalizing": "finish"}[status])
        self.assertEqual(server.training(training)["status"], status)
        return training

    def test_cancel_in_every_state(self):
        cancelled = {}
        for status in ("queued", "starting", "running", "pausing", "paused", "finalizing"):
            with self.subTest(status):
                training = self.training_that(status)
                self.server.control(training, "cancel")
                self.assertEqual(self.server.training(training)["status"], "cancelled")
                self.check_all_free(15)
                cancelled[status] = training
                self.check_problem(self.server.post(f"trainings/{training}/control", {"action": "cancel"}), 409, "bad_state")
        for training in cancelled.values():
            self.server.control(training, "retry")
        for status, training in cancelled.items():
            with self.subTest("retried, was " + status):
                self.complete(training, config(LONG))
        self.check_all_free()

    def test_retry_of_a_cancelled_one_resumes(self):
        server, shape = self.server, config(LONG)
        training = server.submit(shape)
        server.until_step(training, 110)
        server.control(training, "cancel")
        self.check_all_free()
        server.control(training, "retry")
        self.complete(training, shape)
        started = [event["step"] for event in server.run_events(training) if event["event"] == "started"]
        self.assertEqual(len(started), 2)
        self.assertGreaterEqual(started[1], 100)

    def test_a_checkpoint_now(self):
        server, shape = self.server, config(LONG, checkpoint_every=100_000)
        training = server.submit(shape)
        server.until_step(training, 5)
        server.control(training, "checkpoint")
        made = eventually(lambda: server.get(f"trainings/{training}/checkpoints").json["data"])
        self.assertEqual(len(made), 1, made)
        name = made[0]["name"]
        files = server.get(f"trainings/{training}/checkpoints/{name}").json["data"]
        self.assertIn("manifest.json", [one["name"] for one in files])
        self.complete(training, shape)

    def test_finish_of_a_paused_one(self):
        server = self.server
        training = self.training_that("paused")
        step = server.training(training)["current_step"]
        server.control(training, "finish", gpu_ids=[3])
        self.check_finished_early(training, config(LONG))
        self.assertEqual(server.training(training)["current_step"], step, "it trained on")

    def test_time_limit(self):
        server = self.server
        training = server.submit(config(ENDLESS), time_limit_s=3)
        paused = server.until_status(training, "paused")
        self.assertEqual(paused["reason"]["code"], "time_limit")
        self.assertGreater(paused["current_step"], 0)
        self.check_all_free()

    def test_two_ranks(self):
        server, shape = self.server, config(400)
        named, counted = server.submit(shape, gpu_ids=[1, 3]), server.submit(shape, device_count=2)
        self.assertEqual(server.until_status(named, "running", "completed")["gpu_ids"], [1, 3])
        for training in (named, counted):
            done = self.complete(training, shape)
            self.assertEqual((done["world_size"], done["distributed"], len(done["device_uuids"])), (2, True, 2))
        self.assertEqual(set(server.training(named)["gpu_ids"]) & set(server.training(counted)["gpu_ids"]), set())

    def test_what_a_state_does_not_accept(self):
        server = self.server
        training = server.submit(config(50), hold=True)
        for action in ("pause", "resume", "finish", "retry", "checkpoint"):
            problem = self.check_problem(server.post(f"trainings/{training}/control", {"action": action}), 409, "bad_state")
            self.assertIn("queued", problem["detail"])
        server.control(training, "release")
        self.complete(training, config(50))
        self.check_problem(server.post(f"trainings/{training}/control", {"action": "cancel"}), 409, "bad_state")

    def test_files_logs_and_delete(self):
        server, shape = self.server, config(400)
        training = server.submit(shape)
        server.until_step(training, 5)
        self.check_problem(server.ask("DELETE", f"/api/v1/trainings/{training}"), 409, "bad_state")
        self.complete(training, shape)
        whole = server.get(f"trainings/{training}/sae/sae_weights.safetensors")
        part = server.get(f"trainings/{training}/sae/sae_weights.safetensors", headers={"Range": "bytes=1000-1999"})
        self.assertEqual((part.status, part.header("Content-Range")), (206, f"bytes 1000-1999/{len(whole.body)}"))
        self.assertEqual(part.body, whole.body[1000:2000])
        self.assertEqual(server.get(f"trainings/{training}/logs?rank=0&tail=5").status, 200)
        self.assertIn("run folder", server.get(f"trainings/{training}/logs?rank=launcher").body.decode())
        self.check_speed_is_learned_from(training, shape)
        copy = server.submitted(server.post(f"trainings/{training}/duplicate", {"name": "copy"}))
        self.assertEqual(copy["name"], "copy")
        self.complete(copy["id"], shape)
        self.assertEqual(server.ask("DELETE", f"/api/v1/trainings/{training}").status, 204)
        self.assertEqual(server.get("trainings/" + training).status, 404)
        self.assertFalse(server.run_folder(training).exists())
        self.assertTrue(eventually(lambda: not list((server.data / "trainings/.trash").iterdir())), "its bytes are still there")
        self.assertEqual([one["id"] for one in server.get("trainings").json["data"]], [copy["id"]])


    def check_speed_is_learned_from(self, training, shape):
        server = self.server
        told = server.get(f"trainings/{training}/metrics?names=activations_per_second&buckets=10000").json["series"]["activations_per_second"]["mean"]
        measured = sorted(told)[len(told) // 2]
        alone = server.post("trainings/estimate", {"config": shape, "gpu_ids": server.training(training)["gpu_ids"]}).json
        self.assertEqual((alone["efficiency"], alone["based_on"]), (1, 1))
        self.assertTrue(measured / 3 < alone["activations_per_second"] < measured * 3, (measured, alone["activations_per_second"]))
        pair = server.post("trainings/estimate", {"config": shape, "device_count": 2}).json
        self.assertNotIn("efficiency", pair, "no run with two devices has told what an exchange costs")
        self.assertGreater(pair["activations_per_second"], alone["activations_per_second"])
        (server.folder / "config.json").write_text(json.dumps(shape))
        command = server.run("estimate", str(server.folder / "config.json"), "--devices", "cpu:0", "--json")
        told, train = json.loads(command.stdout), shape["train"]
        self.assertEqual({name: told[name] for name in alone if name in told and name != "devices"}, {name: alone[name] for name in alone if name != "devices"})
        self.assertEqual(told["steps"], train["steps"])
        self.assertAlmostEqual(told["duration_s"], train["steps"] * train["batch_size"] / alone["activations_per_second"])
        words = server.run("estimate", str(server.folder / "config.json"), "--devices", "cpu:0").stdout
        self.assertRegex(words, r"\d activations/s, efficiency 100 %, learned from 1 earlier training; 400 steps in \d+s")


class Queue(TrainingsTest):
    def setUp(self):
        self.server = self.train()

    def test_priority(self):
        server = self.server
        holder = server.submit(config(ENDLESS), gpu_ids=[0])
        server.until_step(holder, 5)
        asked = {priority: server.submit(config(50), gpu_ids=[0], priority=priority) for priority in (10, 90, 50)}
        server.control(holder, "cancel")
        for training in asked.values():
            server.until_status(training, "completed")
        began = {server.training(training)["started_at"]: priority for priority, training in asked.items()}
        self.assertEqual([began[time] for time in sorted(began)], [90, 50, 10])

    def test_after(self):
        server = self.server
        first = server.submit(config(50), hold=True)
        second = server.submit(config(50, seed=1), after=[first])
        waits = server.until(second, lambda seen: seen["reason"]["code"] == "after")
        self.assertTrue(first in waits["reason"]["message"], waits["reason"])
        server.control(first, "cancel")
        stuck = server.until(second, lambda seen: seen["reason"]["code"] == "after_failed")
        self.assertEqual(stuck["status"], "queued")
        server.control(first, "retry")
        done = self.complete(first, config(50))
        later = self.complete(second, config(50, seed=1))
        self.assertGreaterEqual(later["started_at"], done["completed_at"])

    def test_start_now(self):
        server = self.server
        holder = server.submit(config(ENDLESS), gpu_ids=[0], start="now")
        self.assertIn(server.training(holder)["status"], ("starting", "running"))
        refused = server.post("trainings", {"config": config(50), "gpu_ids": [0], "start": "now"})
        self.check_problem(refused, 409, "gpu_unavailable")
        self.check_problem(server.post("trainings", {"config": config(50), "device_count": 4, "start": "now"}), 409, "gpu_unavailable")
        self.assertEqual(server.get("trainings").json["pagination"]["total"], 1)
        self.complete(server.submit(config(50), gpu_ids=[1], start="now"), config(50))
        server.control(holder, "cancel")
        self.check_all_free()

    def test_hold_and_release(self):
        server = self.server
        training = server.submit(config(50), hold=True)
        held = server.until(training, lambda seen: seen["reason"]["code"] == "held")
        self.assertTrue(held["held"])
        server.control(training, "hold")
        server.control(training, "release")
        self.complete(training, config(50))

    def test_group(self):
        server, shape = self.server, config(100)
        shape["train"]["seed"] = [0, 1, 2]
        made = server.submitted(server.post("trainings", {"config": shape}))
        self.assertEqual([one["config"]["train"]["seed"] for one in made["data"]], [0, 1, 2])
        self.assertEqual({one["group_id"] for one in made["data"]}, {made["group_id"]})
        listed = server.get("trainings?group_id=" + made["group_id"]).json
        self.assertEqual({one["id"] for one in listed["data"]}, {one["id"] for one in made["data"]})
        for one in made["data"]:
            self.complete(one["id"], config(100, seed=one["config"]["train"]["seed"]))

    def test_a_pair_waits_for_both(self):
        """Those behind it take what it cannot use, and what it waits for only where they are done before it could start."""
        server = self.server
        holder = server.submit(config(ENDLESS), gpu_ids=[1])
        server.until_step(holder, 5)
        pair = server.submit(config(100), gpu_ids=[0, 1])
        behind = server.submit(config(2 * ENDLESS, seed=1), gpu_ids=[0])
        aside = server.submit(config(100, seed=1), gpu_ids=[2])
        self.complete(aside, config(100, seed=1))
        short = server.submit(config(100, seed=2), gpu_ids=[0])  # as long as the one aside took
        self.complete(short, config(100, seed=2))
        self.assertEqual(server.training(pair)["status"], "queued")
        self.assertEqual(server.training(behind)["status"], "queued")
        server.control(holder, "cancel")
        self.complete(pair, config(100))
        server.until_step(behind, 5)
        self.assertGreaterEqual(server.training(behind)["started_at"], server.training(pair)["completed_at"])

    def test_another_place_has_another_outlook_at_once(self):
        """Nothing ran here before, so only of the next one anybody can tell when it starts."""
        server = self.server
        holder = server.submit(config(ENDLESS), gpu_ids=[0])
        server.until_step(holder, 20)
        first, second = (server.submit(config(ENDLESS, seed=seed), gpu_ids=[0]) for seed in (1, 2))

        def is_expected(training):
            return "expected_start" in server.training(training)["reason"]

        self.assertTrue(eventually(lambda: is_expected(first) and not is_expected(second), 30))
        server.control(second, "prioritize", priority=90)
        self.assertTrue(eventually(lambda: is_expected(second) and not is_expected(first), 5))

    def test_when_each_is_expected(self):
        """By how fast the ones before went: of the next one, and of who comes after that."""
        server = self.server
        self.complete(server.submit(config(200), gpu_ids=[0]), config(200))
        holder = server.submit(config(ENDLESS), gpu_ids=[0])
        server.until_step(holder, 5)
        queue = [server.submit(config(ENDLESS, seed=seed), gpu_ids=[0]) for seed in (1, 2)]
        first, second = (server.until(one, lambda seen: "expected_start" in seen["reason"])["reason"]["expected_start"] for one in queue)
        self.assertLess(first, second)


if __name__ == "__main__":
    serving.main()
