"""The real `saemill serve` on a machine of fake GPUs, and clients that are not its own."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ["SAEMILL"]
FAKE_NVML = os.environ["SAEMILL_FAKE_NVML"]
SOURCE = pathlib.Path(os.environ["SAEMILL_SOURCE"])
ACTIVATIONS = SOURCE / "examples/activations"
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def gpu_uuid(index):
    return f"GPU-{index:08x}-1111-2222-3333-444444444444"


def gpu(index):
    return {
        "uuid": gpu_uuid(index), "name": "NVIDIA H200", "pci_bus_id": f"00000000:{16 + index:02X}:00.0",
        "memory_total": 150_000_000_000, "memory_used": 1_000_000 * (index + 1), "memory_reserved": 600_000_000,
        "utilization": index, "memory_utilization": index + 1, "temperature": 30 + index, "power_draw": 70.5 + index,
        "power_limit": 700, "energy": 1000, "fan_speed": 20 + index, "clocks": {"sm": 1980, "memory": 2619},
        "throttle": 1, "pcie": {"tx": 5_000_000, "rx": 8_000_000}, "nvlink": {"tx": 20_480_000, "rx": 40_960_000},
        "ecc": {"sbe": 3, "dbe": 0, "remapped": {"correctable": 1, "uncorrectable": 2, "pending": False, "failure": False}},
        "numa": index // 8, "compute_mode": "default", "processes": [],
    }


def machine(gpus):
    return {"driver_version": "570.86.10", "nvml_version": "12.570.86", "gpus": [gpu(i) for i in range(gpus)]}


def eventually(condition, seconds=20):
    """The first true value of condition(); its last one when time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def bound_to_us(command, user=None):
    """The command, ended by the kernel when this process ends in any way."""
    as_user = ["--reuid", user, "--regid", user, "--clear-groups"] if user else []
    return ["setpriv", "--pdeathsig", "KILL", *as_user, "--", *map(str, command)]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class Server:
    """One folder DATA and the server that runs with it: start, stop, kill, and start again."""

    def __init__(self, gpus=16, arguments=(), data=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="saemill-serve-"))
        self.data = data or self.folder / "data"
        self.listen, self.activations, self.period, self.arguments = "127.0.0.1:0", ACTIVATIONS, 0.25, arguments
        self.scenario = machine(gpus)
        self.environment = dict(os.environ, LD_LIBRARY_PATH=FAKE_NVML, XDG_DATA_HOME=str(self.folder / "xdg"))
        for name in ("SAEMILL_SERVER", "SAEMILL_TOKEN"):
            self.environment.pop(name, None)
        if gpus:
            self.environment["FAKE_NVML_SCENARIO"] = str(self.folder / "scenario.json")
            self.write()
        else:
            self.environment.pop("FAKE_NVML_SCENARIO", None)
        self.process, self.starts, self.secrets = None, 0, set()

    def write(self, **changes):
        """The fake driver reads the scenario again; renamed into place, so that it never sees half of it."""
        self.scenario.update(changes)
        (self.folder / "next.json").write_text(json.dumps(self.scenario))
        (self.folder / "next.json").rename(self.folder / "scenario.json")

    def command(self, *words):
        return [PROGRAM, *words, "--data", str(self.data)]

    def run(self, *words, **environment):
        """Another saemill with the same DATA."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60,
                              env={**self.environment, **environment}, check=False)

    def start(self):
        self.starts += 1
        with open(self.folder / f"out{self.starts}", "wb") as out, open(self.folder / "err", "ab") as err:
            command = self.command("serve", "--listen", self.listen, "--activations", str(self.activations),
                                   "--period", str(self.period), *self.arguments)
            self.process = subprocess.Popen(bound_to_us(command), stdout=out, stderr=err, env=self.environment, cwd=self.folder)
        if not eventually(self.is_up, 30):
            raise AssertionError(f"the server does not start: {self.process.poll()} {self.stderr()}")
        self.token = (self.data / "token").read_text().strip()
        self.secrets |= {self.token, self.printed_code()}
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.stderr()}")
        try:
            described = json.loads((self.data / "server.json").read_text())
        except FileNotFoundError:
            return False
        if described["pid"] != self.process.pid or "code=" not in self.stdout():  # a killed server left the file
            return False
        self.url = described["url"]
        self.port = int(self.url.rsplit(":", 1)[1])
        return self.ask("GET", "/api/v1/system/gpus", token=(self.data / "token").read_text().strip()).status == 200

    def stdout(self):
        return (self.folder / f"out{self.starts}").read_text()

    def stderr(self):
        path = self.folder / "err"
        return path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else ""

    def printed_code(self):
        return re.search(r"/login\?code=(\S+)", self.stdout())[1]

    def ask(self, method, target, body=None, headers=(), token=None, cookie=None):
        """With the token, if neither another one nor a cookie is given. Lists and objects go as JSON."""
        sent = dict(headers)
        if cookie:
            sent.setdefault("Cookie", cookie)
            sent.setdefault("Origin", self.url)
        elif token != "":
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def get(self, target, **more):
        return self.ask("GET", "/api/v1/" + target, **more)

    def post(self, target, body, **more):
        return self.ask("POST", "/api/v1/" + target, body, **more)

    def new_code(self):
        code = self.post("login-codes", {}).json["code"]
        self.secrets.add(code)
        return code

    def sign_in(self):
        """A browser's cookie: "saemill_session_...=..."."""
        return self.cookie_of(self.ask("GET", "/login?code=" + self.new_code(), token=""))

    def cookie_of(self, answer):
        cookie = answer.header("Set-Cookie").split(";")[0]
        self.secrets.add(cookie.split("=", 1)[1])
        return cookie

    def memory(self):
        """The bytes that the process holds."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def stop(self, how=signal.SIGTERM):
        """The exit code; killed in the worst case."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def close(self):
        try:
            if self.process and self.process.poll() is None:
                code = self.stop()
                assert code == 0, f"the server ended with {code}: {self.stderr()}"
            self.check_log()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def check_log(self):
        log = self.stderr()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log), f"a control character in the log: {log!r}"
        assert not any(secret in log for secret in self.secrets if secret), f"a secret in the log: {log}"


class ServingTest(unittest.TestCase):
    """Tests of one server, which all of them share, or of servers of their own."""
    gpus = None  # of the shared one; None: there is none
    arguments = ()

    @classmethod
    def setUpClass(cls):
        if cls.gpus is not None:
            cls.server = Server(cls.gpus, cls.arguments)
            cls.addClassCleanup(cls.server.close)
            cls.prepare()
            cls.server.start()

    @classmethod
    def prepare(cls):
        """Before the shared server starts."""

    def serve(self, gpus=2, arguments=(), data=None):
        server = Server(gpus, arguments, data)
        self.addCleanup(server.close)
        return server

    def check_problem(self, answer, status, code):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.header("Content-Type"), "application/problem+json")
        self.assertEqual((answer.json["status"], answer.json["code"]), (status, code), answer)
        return answer.json


def need(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise unittest.SkipTest(f"{', '.join(missing)} is not installed (scripts/install-packages)")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def main():
    result = unittest.main(exit=False, verbosity=2).result
    for _, reason in result.skipped:
        print("skipped:", reason)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped and result.testsRun <= len(result.skipped) else 0)
