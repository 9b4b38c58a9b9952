"""The commands on trainings, run against a server with so many CPU slots that some are free whatever else trains here."""
import json
import subprocess

import serving

CONFIG = """
name = "{name}"
[activations]
path = "{path}"
[sae]
d_sae = 512
k = 8
[train]
batch_size = 256
steps = {steps}
log_every = 20
[checkpoint]
every_steps = 0
"""
ENDLESS = 10_000_000  # steps


class TrainingCommandsTest(serving.ServingTest):
    gpus = 0
    arguments = ("--cpu-slots", "16")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.remove_all)  # launchers outlive their server

    @classmethod
    def remove_all(cls):
        def gone():
            left = cls.server.get("trainings?limit=500").json["data"]
            for training in left:
                cls.server.post(f"trainings/{training['id']}/control", {"action": "cancel"})
                cls.server.ask("DELETE", f"/api/v1/trainings/{training['id']}")
            return not left

        assert serving.eventually(gone, 60), "trainings that cannot be deleted"

    def tearDown(self):
        self.remove_all()

    def run_command(self, *words, code=0, server=None, warns=False, **environment):
        """Its stdout, where it ends with this code."""
        answer = subprocess.run(self.command(*words, server=server), capture_output=True, text=True, timeout=100,
                                cwd=self.server.folder, env=self.environment(**environment), check=False)
        self.assertEqual(answer.returncode, code, answer)
        self.stderr = answer.stderr
        if code == 0:
            self.assertEqual(bool(answer.stderr), warns, answer)
        return answer.stdout

    def command(self, *words, server=None):
        where = ["--server", server] if server else ["--data", str(self.server.data)]
        return [serving.PROGRAM, *map(str, words), *where]

    def environment(self, **more):
        return {**self.server.environment, "SAEMILL_TOKEN": self.server.token, **more}

    def begin(self, *words, server=None):
        """The process of a command that goes on."""
        process = subprocess.Popen(serving.bound_to_us(self.command(*words, server=server)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, cwd=self.server.folder, env=self.environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def json(self, *words, **more):
        return json.loads(self.run_command(*words, "--json", **more))

    def config(self, name="t", steps=20, path=serving.ACTIVATIONS, file="t.toml"):
        (self.server.folder / file).write_text(CONFIG.format(name=name, steps=steps, path=path))
        return file

    def submit(self, *words, **config):
        """The id of a new training."""
        return self.json("submit", self.config(**config), *words)["id"]

    def get(self, training):
        return self.server.get(f"trainings/{training}").json

    def reach(self, training, *status, seconds=60):
        now = serving.eventually(lambda: self.get(training)["status"] in status and self.get(training), seconds)
        self.assertTrue(now, self.get(training))
        return now

    def running(self, **config):
        """The id of a training that runs until it is told to end."""
        training = self.submit(steps=ENDLESS, **config)
        self.reach(training, "running")
        self.assertTrue(serving.eventually(lambda: self.get(training)["current_step"] > 0, 30))
        return training

    def run_folder(self, training):
        return self.server.data / "trainings" / training
