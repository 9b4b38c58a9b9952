"""Runs the parts of a check one after another, within its time, and writes down each as soon as it is over."""
import json
import os
import pathlib
import signal
import tempfile
import time
from typing import NamedTuple

from gpu_check import libraries, processes

HERE = pathlib.Path(__file__).resolve().parent.parent  # the packed folder
MANIFEST = json.loads((HERE / "gpu-check.json").read_text())
LEAST = 1  # second of a part that is worth starting
LINE = 300  # characters of a message on the screen; the report has all


class Skipped(Exception):
    """Figures with "of": of GPUs of this kind; a run that goes on with the report does not try again where they are the same."""

    def __init__(self, message, figures=None):
        super().__init__(message)
        self.figures = figures


class Failed(Exception):
    def __init__(self, message, figures=None):
        super().__init__(message)
        self.figures = figures


class TimeUp(Exception):
    """The whole run's, in the middle of a part."""

    def __init__(self, figures=None):
        super().__init__()
        self.figures = figures


class Stopped(BaseException):
    """By a signal. Nobody but main may catch it."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


class Part(NamedTuple):
    name: str
    limit: float  # seconds of its own
    work: object  # (runner, *arguments) -> (message, figures); or Skipped, Failed
    arguments: tuple = ()
    timing: bool = False  # void beside a process that still uses the GPU
    always: bool = False  # run and checked whatever is asked for
    kernels: bool = False  # trains: not tried where the kernels' own tests hang or crash
    after: str = ""  # another part: not tried where that one hung


class Done(NamedTuple):
    code: int  # negative: the signal's
    text: str  # stdout; with stderr where these are not apart
    late: bool  # ended, because its time was up


def exit_words(done):
    if done.late:
        return "not done in time"
    try:
        return f"exit code {done.code}" if done.code >= 0 else f"crashed ({signal.Signals(-done.code).name})"
    except ValueError:
        return f"exit code {done.code}"


def last_lines(text, count=6):
    return " | ".join(text.strip().splitlines()[-count:])


def blocked_by(checks, part):
    """What hung or crashed before it, in words; None where nothing did."""
    blocks = {name: check["figures"]["blocks"] for name, check in checks.items() if (check["figures"] or {}).get("blocks")}
    if part.kernels:
        return next(iter(blocks.values()), None)
    words = blocks.get(part.after, "")
    return words if words.endswith("hung") else None


class Runner:
    def __init__(self, report, arguments):
        self.report = report
        self.arguments = arguments
        self.logs = None
        self.devices = []  # told by the part "devices"
        self.calibrated = None  # once it has been tried: whether it could be
        self.end = self.part_end = time.monotonic() + arguments.time_limit
        self.part, self.start = None, 0.0
        self.home = tempfile.mkdtemp(prefix="saemill-gpu-check-")
        self.environment = {"LD_LIBRARY_PATH": libraries.search_path([HERE / "lib", HERE / "stand_ins"]),
                            "SAEMILL_SOURCE_DIR": str(HERE)}  # where tests find what they compare with
        if arguments.dry_run:
            self.environment["CUDA_VISIBLE_DEVICES"] = "-1"  # no device is called, also where there is one
        else:
            self.environment.update(HOME=self.home, TMPDIR=self.home, PATH=os.environ.get("PATH", "/usr/bin:/bin"))
            self.environment.update({key: value for key, value in os.environ.items() if key.startswith(("CUDA_", "NVIDIA_", "NCCL_"))})

    # Of a part: what runs programs.

    @property
    def gpus(self):
        return len(self.devices)

    @property
    def kind(self):
        """What a skipped part would find again."""
        return [device["name"] for device in self.devices]

    def left(self):
        return max(0.0, self.part_end - time.monotonic())

    def time_is_up(self):
        return time.monotonic() >= self.end - 0.1

    def program(self, *words, **more):
        """Runs a packed program, in an environment that is empty but for its libraries."""
        return self.call([str(HERE / "bin" / words[0]), *map(str, words[1:])], self.environment, **more)

    def call(self, command, environment, seconds=600.0, apart=False):
        """`apart`: the text is stdout alone. All goes to the part's log, as it comes."""
        return self.call_with_pid(command, environment, seconds, apart)[1]

    def call_with_pid(self, command, environment, seconds=600.0, apart=False):
        with self.started(command, environment, apart) as running:
            ended = processes.has_ended(running.process, min(seconds, self.left()))
            running.close()
        code = running.process.returncode if running.process.returncode is not None else -9
        return running.process.pid, Done(code, running.text(), not ended)

    def program_and_pid(self, *words):
        """With its stdout apart."""
        return self.call_with_pid([str(HERE / "bin" / words[0]), *map(str, words[1:])], self.environment, apart=True)

    @staticmethod
    def machine_environment():
        """For programs of the machine, which want its own libraries."""
        return dict(os.environ)

    def started(self, command, environment, apart=False):
        return Running(self, command, environment, apart)

    def packed(self, *words):
        """A packed program that runs beside what the part does with it."""
        return self.started([str(HERE / "bin" / words[0]), *map(str, words[1:])], self.environment)

    def checked(self, done, name):
        """Its text; it must have ended well."""
        if done.late and self.time_is_up():
            raise TimeUp()
        if done.late or done.code != 0:
            raise Failed(f"{name}: {exit_words(done)}: {last_lines(done.text or self.log_end())}")
        return done.text

    def json_of(self, *words, **more):
        return self.parsed(self.checked(self.program(*words, apart=True, **more), words[0]), words[0])

    def parsed(self, text, name):
        try:
            return json.loads(text.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise Failed(f"{name}: its last line is no JSON: {last_lines(text or self.log_end(), 2)}")

    def log_end(self):
        return self.logs.now.read_bytes()[-4096:].decode(errors="replace")

    def keep(self, path):
        """A file of a part, into the archive."""
        if path.is_file():
            self.logs.keep(path, f"{self.part}/{path.name}")

    # Of the whole.

    def perform(self, part):
        self.part, self.start = part.name, time.monotonic()
        self.part_end = min(self.end, self.start + part.limit)
        if self.is_still_skipped(part):
            return
        if reason := self.reason_against(part):
            if self.report.checks[part.name]["status"] == "not reached":  # else an earlier run's result stays
                self.tell("not reached", 0.0, reason)
            return
        self.report.set(part.name, "running")
        self.logs.begin()
        status, message, figures = "ok", "", None
        try:
            message, figures = part.work(self, *part.arguments)
        except Skipped as reason:
            status, message, figures = "skipped", str(reason), reason.figures
        except Failed as reason:
            status, message, figures = "failed", str(reason), reason.figures
        except TimeUp as reason:
            status, message, figures = "not reached", f"cut: the {self.arguments.time_limit:g} s of the run were over", reason.figures
        except Exception as error:  # one broken check must not take the others with it
            status, message = "failed", f"{type(error).__name__}: {error}"
        self.clean_up()
        self.tell(status, time.monotonic() - self.start, message, figures, self.logs.end(part.name))

    def stop(self, name):
        """By the signal of this name, maybe in the middle of a part."""
        self.report.stopped = name
        self.clean_up(grace=1)
        if self.part and self.report.checks[self.part]["status"] == "running":
            self.tell("not reached", time.monotonic() - self.start, f"stopped by {name}", None, self.logs.end(self.part))

    def is_still_skipped(self, part):
        """By an earlier run, on GPUs of the same kind."""
        check = self.report.checks[part.name]
        return check["status"] == "skipped" and (check["figures"] or {}).get("of") == self.kind

    def reason_against(self, part):
        if self.end - time.monotonic() < LEAST:
            return f"the {self.arguments.time_limit:g} s of the run were over"
        if part.timing and self.report.dirty:
            return f"no time would be right: {self.report.dirty}"
        if self.arguments.only == "*" and (words := blocked_by(self.report.checks, part)):
            return words
        return None

    def tell(self, status, seconds, *rest):
        self.report.set(self.part, status, round(seconds, 3), *rest)
        print(f"{status:12} {self.part:44} {seconds:7.1f} s  {rest[0][:LINE]}", flush=True)

    def clean_up(self, process=None, grace=None):
        """What is left of a part may use the GPU beside the next."""
        left = processes.end_all(process, grace)
        if left and not self.report.dirty:
            self.report.dirty = f"of {self.part} is still there {processes.PATIENCE} s after SIGKILL: {', '.join(left)}"


class Running:
    """A program that writes to the part's log; it and all that it has started end with the block."""

    def __init__(self, runner, command, environment, apart):
        self.runner, self.command, self.environment = runner, command, environment
        self.apart = pathlib.Path(runner.home, "stdout") if apart else None
        self.process = None

    def __enter__(self):
        self.runner.logs.add(f"$ {' '.join(self.command)}\n")
        self.begin = self.runner.logs.now.stat().st_size
        with open(self.runner.logs.now, "ab") as log, open(self.apart or os.devnull, "wb") as out:
            self.process = processes.start(self.command, self.environment, self.runner.home, out if self.apart else log, log)
        return self

    def __exit__(self, kind, *_):
        if kind is not Stopped:  # then the part is cleaned up as a whole
            self.close()

    def close(self):
        self.runner.clean_up(self.process)

    def text(self):
        if self.apart:
            text = self.apart.read_bytes()
            self.runner.logs.add(text)
            return text.decode(errors="replace")
        with open(self.runner.logs.now, "rb") as log:
            log.seek(self.begin)
            return log.read().decode(errors="replace")
