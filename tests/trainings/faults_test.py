"""Everything is killed at random moments: every training comes to the bytes of an undisturbed run, and every metric is there once.

SAEMILL_KILLS says how often in each scenario (scripts/soak: 20); SAEMILL_SEED repeats a series of random moments.
"""
import json
import os
import random
import signal
import subprocess
import time

from trainings import (ENDED, LONG, PATIENCE, PROGRAM, TrainingsTest, bound_to_us, by_hand, config, eventually, kill, launchers_of, ranks_of,
                       serving)
# Of tests/serve, whose path trainings has added.
from postgres import Postgres
from small_disk import SmallDisk

KILLS = int(os.environ.get("SAEMILL_KILLS", "3"))
SEED = int(os.environ.get("SAEMILL_SEED", time.time_ns() % 1_000_000))
STEPS, PART = 1000, 250  # of a run that is struck, and between two strikes at most


class FaultsTest(TrainingsTest):
    def setUp(self):
        self.random = random.Random(SEED)

    def completes_under(self, strike, restarts, **more):
        """Strikes KILLS times, at random steps of as many runs as that takes. Each costs so many restarts of the launcher."""
        struck, shape = 0, config(STEPS)
        while struck < KILLS:
            before, step = struck, 0
            training = self.server.submit(shape, max_restarts=1000, **more)
            while struck < KILLS and (step := self.until_random_step(training, step)) < STEPS - PART:
                strike(training)
                struck += 1
                self.server.until(training, lambda seen: seen.get("restarts") == (struck - before) * restarts)
            done = self.complete(training, shape)
            self.assertEqual(done["restarts"], (struck - before) * restarts)
        self.check_all_free()

    def until_random_step(self, training, since):
        """Where it is then, or that it is over."""
        step = since + self.random.randrange(5, PART)
        seen = self.server.until(training, lambda seen: seen["status"] in ENDED or seen["status"] == "running" and seen["current_step"] >= step)
        return seen["current_step"]

    def restart_server(self, *_):
        self.server.kill()
        self.server.start()


class Kills(FaultsTest):
    def setUp(self):
        super().setUp()
        self.train()

    def test_the_server(self):
        def strike(training):
            launcher = launchers_of(training)
            self.assertEqual(len(launcher), 1)
            self.restart_server()
            self.assertIn(launchers_of(training), (launcher, []), "it goes on with the launcher that it finds, or that has just ended")
        self.completes_under(strike, 0)

    def test_launchers(self):
        self.completes_under(lambda training: self.assertEqual(kill(launchers_of(training)), 1), 1)

    def test_one_rank_of_two(self):
        def strike(training):
            self.assertEqual(kill([self.random.choice(ranks_of(training))]), 1)
        self.completes_under(strike, 1, device_count=2)

    def test_server_and_launcher_at_once(self):
        def strike(training):
            launchers = launchers_of(training)
            self.server.kill()
            kill(launchers)
            self.server.start()
        self.completes_under(strike, 1)

    def test_a_server_that_is_starting_trainings(self):
        """Killed between its answer, the leases, the launcher and its first event."""
        shape = config(60)
        for _ in range(KILLS):
            training = self.server.submit(shape, max_restarts=1000)
            time.sleep(self.random.uniform(0, 0.6))
            self.restart_server()
            self.complete(training, shape)
        self.check_all_free()


class Hangs(FaultsTest):
    def setUp(self):
        super().setUp()
        self.train(["--hang-after", "5"])
        self.shape = config(LONG)
        self.training = self.server.submit(self.shape)
        self.server.until_step(self.training, 100)

    def test_a_launcher(self):
        kill(launchers_of(self.training), signal.SIGSTOP)
        self.server.until(self.training, lambda seen: seen["restarts"] == 1)
        self.assertTrue(any("no sign of life" in event["message"] for event in self.server.get("events?severity=warning").json["data"]))
        self.complete(self.training, self.shape)
        self.check_all_free()

    def test_the_server(self):
        """Who was stopped itself takes nobody's silence amiss."""
        launcher = launchers_of(self.training)
        kill(launcher, signal.SIGSTOP)  # so that its last sign of life is old
        self.server.process.send_signal(signal.SIGSTOP)
        time.sleep(8)
        kill(launcher, signal.SIGCONT)
        self.server.process.send_signal(signal.SIGCONT)
        self.assertEqual(self.complete(self.training, self.shape)["restarts"], 0)


class DatabaseAway(FaultsTest):
    def setUp(self):
        super().setUp()
        self.postgres = Postgres()
        self.addCleanup(self.postgres.close)
        self.train(["--database", self.postgres.url])

    def strike(self, *_):
        self.postgres.crash()
        time.sleep(self.random.uniform(0, 2))
        self.postgres.start()

    def test_while_it_runs(self):
        def strike(training):
            launcher = launchers_of(training)
            self.strike()
            self.assertIn(launchers_of(training), (launcher, []))
        self.completes_under(strike, 0)

    def test_while_it_ends(self):
        shape = config(LONG)
        training = self.server.submit(shape)
        self.server.until_step(training, 5)
        self.postgres.crash()
        self.assertTrue(eventually((self.server.run_folder(training) / "exit.json").exists, PATIENCE))
        self.postgres.start()
        self.complete(training, shape)
        self.check_all_free()

    def test_the_server_too(self):
        shape = config(LONG)
        training = self.server.submit(shape)
        self.server.until_step(training, 100)
        self.server.kill()
        self.postgres.crash()
        self.postgres.start()
        self.server.start()
        self.assertEqual(self.complete(training, shape)["restarts"], 0)
        self.check_all_free()


class Everything(FaultsTest):
    """All at once, on a queue of more trainings than devices."""

    def setUp(self):
        super().setUp()
        try:
            self.postgres = Postgres()
            self.addCleanup(self.postgres.close)
        except serving.unittest.SkipTest:
            self.postgres = None  # then all but it
        self.train(["--database", self.postgres.url] if self.postgres else [])

    def launcher(self):
        kill(self.some(launchers_of))

    def rank(self):
        kill(self.some(ranks_of))

    def database(self):
        self.postgres.crash()
        time.sleep(self.random.uniform(0, 1))
        self.postgres.start()

    def some(self, of):
        pids = [pid for training in self.server.ids for pid in of(training)]
        return [self.random.choice(pids)] if pids else []

    def test_at_random(self):
        steps = 125 * (KILLS + 1)
        shapes = [config(steps), config(steps, seed=1)]
        asked = {self.server.submit(shapes[n % 2], max_restarts=1000, device_count=1 + n % 3 // 2): shapes[n % 2] for n in range(6)}
        victims = [self.restart_server, self.launcher, self.rank, *([self.database] if self.postgres else [])] * KILLS
        self.random.shuffle(victims)
        for victim in victims:
            time.sleep(self.random.uniform(0, 1))
            victim()
        for training, shape in asked.items():
            self.complete(training, shape, PATIENCE + 5 * KILLS)
        self.check_all_free()


class FullDisk(FaultsTest):
    def setUp(self):
        super().setUp()
        folder = serving.tempfile.mkdtemp(prefix="saemill-full-")
        self.addCleanup(os.rmdir, folder)
        self.disk = SmallDisk(folder, mebibytes=64)
        self.addCleanup(self.disk.close)
        self.train(data=self.disk.folder / "data")

    def test_trainings_wait_or_go_on(self):
        server, shape = self.server, config(LONG)
        running = server.submit(shape, max_restarts=1000)
        held = server.submit(config(100), hold=True)
        server.until_step(running, 100)
        self.disk.fill()
        self.check_problem(server.post("trainings", {"config": config(100)}), 503, "unavailable")
        time.sleep(self.random.uniform(2, 6))  # checkpoints and lines come to nothing meanwhile
        self.disk.empty()
        self.complete(running, shape)
        server.control(held, "release")
        self.complete(held, config(100))
        self.check_all_free()

    def test_no_room_for_a_checkpoint(self):
        """It is not started, says so, and starts once there is room."""
        server = self.server
        held = server.submit(config(100), hold=True)
        self.disk.fill_but(2_000_000)
        server.control(held, "release")
        waits = server.until(held, lambda seen: seen["reason"]["code"] == "no_disk_room")
        self.assertEqual(waits["status"], "queued")
        self.disk.empty()
        self.complete(held, config(100))

    def test_without_a_server(self):
        """`saemill train` ends with 75 and names the disk; what it had saved stays, and it goes on from there."""
        run, shape = self.disk.folder / "run", config(2000)
        path = self.disk.folder / "config.json"
        path.write_text(json.dumps(shape))

        def train(*more):
            return subprocess.Popen(bound_to_us([PROGRAM, "train", path, "--out", run, "--devices", "cpu:9", "--progress", "none", *more]),
                                    stderr=subprocess.PIPE, text=True)

        def saved():
            return sorted(one.name for one in (run / "checkpoints").glob("step-*") if not one.name.endswith(".tmp"))

        started = train()
        self.assertTrue(eventually(saved, PATIENCE))
        self.disk.fill()
        self.assertRegex(started.communicate(timeout=PATIENCE)[1], rf"{run}/.*(No space left on device|the disk is full)")
        self.assertEqual(started.returncode, 75)
        self.assertTrue(saved())
        self.disk.empty()
        again = train("--resume")
        said = again.communicate(timeout=PATIENCE)[1]
        self.assertEqual(again.returncode, 0, said)
        self.assertEqual({one.name: one.read_bytes() for one in (run / "sae").iterdir()}, by_hand(shape).sae)


if __name__ == "__main__":
    print(f"SAEMILL_KILLS={KILLS} SAEMILL_SEED={SEED}", flush=True)
    serving.main()
