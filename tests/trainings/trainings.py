"""The real `saemill serve` with real workers on CPU slots, and what must become of a training."""
import contextlib
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "serve"))
import serving  # noqa: E402
from serving import ACTIVATIONS, PROGRAM, bound_to_us, eventually  # noqa: E402,F401

FAKE_WORKER = os.environ["SAEMILL_FAKE_WORKER"]
SLOTS = 4
PATIENCE = 120  # seconds; the machine may be busy
LOG_EVERY = 5
ENDED = ("completed", "failed", "cancelled")
COMPARED = ("loss", "fvu", "l0", "grad_norm")  # what does not depend on time
# Ranks that wait for each other must not spin: here are more of them than cores.
os.environ["OMP_WAIT_POLICY"] = "passive"


def config(steps=300, name="t", activations=ACTIVATIONS, seed=0, checkpoint_every=50):
    """Some 3 ms of one core for a step."""
    return {"name": name, "activations": {"path": str(activations)}, "sae": {"d_sae": 512, "k": 16},
            "train": {"batch_size": 512, "steps": steps, "log_every": LOG_EVERY, "seed": seed},
            "checkpoint": {"every_steps": checkpoint_every}}


ENDLESS = 100_000  # steps: over only when somebody ends it
LONG = 1000  # steps: not over before somebody has acted on it, on a fast machine that lets us wait, too


class Outcome:
    """What a run came to: the files of its SAE, and {metric: {step: value}} of every logged step."""

    def __init__(self, sae, metrics):
        self.sae, self.metrics = sae, metrics


def by_hand(configuration):
    """The outcome of an undisturbed `saemill train`; on a slot that no server of these tests has."""
    return _by_hand(json.dumps(configuration))


@functools.lru_cache(maxsize=100)
def _by_hand(configuration):
    with tempfile.TemporaryDirectory(prefix="saemill-by-hand-") as folder:
        run, path = pathlib.Path(folder, "run"), pathlib.Path(folder, "config.json")
        path.write_text(configuration)
        subprocess.run(bound_to_us([PROGRAM, "train", path, "--out", run, "--devices", "cpu:9", "--progress", "none"]),
                       check=True, capture_output=True, timeout=PATIENCE)
        metrics = {name: {} for name in COMPARED}
        for line in (run / "events.jsonl").read_text().splitlines():
            event = json.loads(line)
            for name in COMPARED if event["event"] == "metrics" else ():
                metrics[name][event["step"]] = event["values"][name]
        return Outcome({path.name: path.read_bytes() for path in (run / "sae").iterdir()}, metrics)


def processes_of(training):
    """{pid: name} of all that carry its mark and live."""
    mark, found = f"SAEMILL_TRAINING={training}".encode(), {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile; a zombie has no environment
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "comm").read_text().strip()
    return found


def launchers_of(training):
    return [pid for pid, name in processes_of(training).items() if name == "saemill"]


def ranks_of(training):
    return [pid for pid, name in processes_of(training).items() if name != "saemill"]


def kill(pids, number=signal.SIGKILL):
    """How many of them were still there."""
    sent = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            sent += 1
    return sent


def what_remains(look, seconds=20):
    """What look() still sees when time is over; nothing as soon as it sees nothing."""
    seen = []

    def nothing():
        seen[:] = [look()]
        return not seen[0]

    eventually(nothing, seconds)
    return seen[0]


class TrainingServer(serving.Server):
    """Its launchers outlive it, but not the test."""

    def __init__(self, arguments=(), data=None, gpus=0):
        super().__init__(gpus, ["--cpu-slots", str(SLOTS), *arguments], data)
        self.ids = []
        # What a test may spoil.
        self.copies = self.folder / "activations"
        self.copies.mkdir()
        self.arguments += ["--activations", str(self.copies)]

    def copy_activations(self, name):
        return pathlib.Path(shutil.copytree(ACTIVATIONS, self.copies / name))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        try:
            super().close()
        finally:
            for training in self.ids:
                while kill(processes_of(training)):
                    pass
            shutil.rmtree(self.folder, ignore_errors=True)

    def run_folder(self, training):
        return self.data / "trainings" / training

    def submit(self, configuration, **more):
        """The id."""
        return self.submitted(self.post("trainings", {"config": configuration, **more}))["id"]

    def submitted(self, answer):
        assert answer.status == 201, answer
        self.ids += [one["id"] for one in answer.json.get("data", [answer.json])]
        return answer.json

    def control(self, training, action, **more):
        answer = self.post(f"trainings/{training}/control", {"action": action, **more})
        assert answer.status == 202, answer
        return answer.json

    def training(self, training):
        """Empty while the store is away."""
        answer = self.get("trainings/" + training)
        assert answer.status in (200, 503), answer
        return answer.json if answer.status == 200 else {}

    def devices(self):
        return self.get("system/gpus").json["gpus"]

    def until(self, training, wanted, seconds=PATIENCE):
        """The training once wanted(training); at its end it is no more than what it is."""
        seen = {}

        def look():
            seen.update(self.training(training) or {"status": "unknown"})
            return wanted(seen) or seen["status"] in ENDED

        eventually(look, seconds)
        if not wanted(seen):
            raise AssertionError(f"after at most {seconds} s: {self.described(training, seen)}")
        return seen

    def until_status(self, training, *statuses, seconds=PATIENCE):
        return self.until(training, lambda seen: seen["status"] in statuses, seconds)

    def until_step(self, training, step, seconds=PATIENCE):
        """Running, and so far; it is an error if it is over by then."""
        return self.until(training, lambda seen: seen["status"] == "running" and seen["current_step"] >= step, seconds)

    def described(self, training, seen):
        """For who reads why a test failed."""
        run = self.run_folder(training)
        parts = [json.dumps({key: value for key, value in seen.items() if key not in ("config", "metrics")}),
                 f"processes: {processes_of(training)}"]
        for name in ("launcher.log", "exit.json", "status.json", "events.jsonl"):
            with contextlib.suppress(OSError):
                parts += [f"{name}: ...{(run / name).read_text(errors='replace')[-1000:]}"]
        return "\n".join([*parts, "server: ..." + self.stderr()[-2000:]])

    def kill_ranks(self, training, device):
        def on_device(pid):
            return f"--device\0{device}\0".encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()

        assert kill([pid for pid in ranks_of(training) if on_device(pid)]) == 1

    def sae(self, training):
        names = [one["name"] for one in self.get(f"trainings/{training}/sae").json["data"]]
        return {name: self.get(f"trainings/{training}/sae/{name}").body for name in names}

    def metrics(self, training):
        """{metric: {step: value}} of every logged step, from the store."""
        answer = self.get(f"trainings/{training}/metrics?names={','.join(COMPARED)}&buckets=10000").json
        assert answer["exact"], answer
        found = {}
        for name, columns in answer["series"].items():
            assert columns["min"] == columns["mean"] == columns["max"], name
            found[name] = dict(zip(answer["step"], columns["mean"]))
        return found

    def run_events(self, training):
        """All of them, from the store, by pages."""
        found = []
        while page := self.get(f"trainings/{training}/events?limit=500&since={found[-1]['seq'] if found else 0}").json["data"]:
            found += page
        return found


class TrainingsTest(serving.ServingTest):
    def train(self, arguments=(), data=None, start=True):
        """A server."""
        self.server = TrainingServer(arguments, data)
        self.addCleanup(self.server.close)
        return self.server.start() if start else self.server

    def check_all_free(self, seconds=20):
        """No device is held, and no process is left of any training. (A stranger's may be on a device.)"""
        server = self.server
        held = what_remains(lambda: [(one["index"], one["current_job"]) for one in server.devices()
                                     if one["availability"] == "leased"], seconds)
        self.assertEqual(held, [], f"devices held after {seconds} s")
        for training in server.ids:
            self.assertEqual(what_remains(lambda one=training: processes_of(one), seconds), {}, f"processes left of {training}")

    def check_undisturbed(self, training, configuration):
        """It came to what the undisturbed run came to: the same bytes, and every metric and event once."""
        expected = by_hand(configuration)
        sae = self.server.sae(training)
        self.assertEqual(sae.keys(), expected.sae.keys())
        for name, content in expected.sae.items():
            self.assertTrue(sae[name] == content, f"{name} of {training} has other bytes")
        self.assertEqual(self.server.metrics(training), expected.metrics, f"metrics of {training}")
        written = [json.loads(line) for line in (self.server.run_folder(training) / "events.jsonl").read_text().splitlines()]
        self.assertEqual([event["seq"] for event in written], list(range(1, len(written) + 1)), "seq of events.jsonl")
        self.assertEqual(self.server.run_events(training), [event for event in written if event["event"] != "metrics"])

    def check_finished_early(self, training, configuration):
        """As if it had been asked for the steps that it has done."""
        done = self.server.until_status(training, "completed")
        self.assertEqual(done["finalized_from_step"], done["current_step"])
        self.assertLess(done["current_step"], configuration["train"]["steps"])
        configuration["train"]["steps"] = done["current_step"]
        expected = by_hand(configuration)
        self.assertTrue(self.server.sae(training) == expected.sae, f"other bytes than after {done['current_step']} steps")
        logged = {name: {step: value for step, value in values.items() if step % LOG_EVERY == 0}  # it did not know its last step
                  for name, values in expected.metrics.items()}
        self.assertEqual(self.server.metrics(training), logged, f"metrics of {training}")

    def complete(self, training, configuration, seconds=PATIENCE):
        seen = self.server.until_status(training, "completed", seconds=seconds)
        self.assertEqual((seen["current_step"], seen["progress"]), (configuration["train"]["steps"], 100), seen)
        self.check_undisturbed(training, configuration)
        return seen
