"""What nvidia-smi tells again and again while a part's programs run."""
import pathlib
import re
import statistics
import subprocess

from gpu_check import libraries, processes

CLOCKS = ("--query-gpu=timestamp,clocks.sm,power.draw,temperature.gpu", "--format=csv", "-lms", "200")
BUSY = 0.5  # of the most power: a GPU that draws less waits for its program to start, and its clock says nothing


def nvidia_smi():
    return libraries.tool("nvidia-smi", "/usr/local/nvidia/bin")


class Watch:
    """nvidia-smi, into a file of the part; it ends with the block, or with the first program that ends in it."""

    def __init__(self, runner, name, words):
        self.runner, self.words = runner, words
        self.path = pathlib.Path(runner.home, name)
        self.process = None

    def __enter__(self):
        smi, lines = nvidia_smi(), libraries.tool("stdbuf")
        self.path.write_bytes(b"")
        if smi:  # by lines, else what it holds back is lost when it is ended
            with open(self.path, "ab") as out:
                command = ([lines, "-oL"] if lines else []) + [smi, *self.words]
                self.process = processes.start(command, self.runner.machine_environment(), self.runner.home, out, subprocess.STDOUT)
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            if not processes.has_ended(self.process, processes.GRACE):
                self.process.kill()
        if self.process:
            self.runner.keep(self.path)

    def rows(self):
        return [[field.strip() for field in line.split(",")] for line in self.path.read_text(errors="replace").splitlines()]


class Clocks(Watch):
    def __init__(self, runner):
        super().__init__(runner, "clocks.csv", CLOCKS)

    def told(self):
        """None where it has told nothing."""
        samples = [tuple(map(number, row[1:4])) for row in self.rows() if len(row) == 4]
        samples = [sample for sample in samples if None not in sample[:2]]
        if not samples:
            return None
        most = max(power for _, power, _ in samples)
        busy = [clock for clock, power, _ in samples if power >= BUSY * most]
        warmest = max((celsius for *_, celsius in samples if celsius is not None), default=None)
        return {"sm_mhz_least": min(busy), "sm_mhz_median": statistics.median(busy), "watts_most": most, "celsius_most": warmest,
                "samples": len(samples), "busy_samples": len(busy)}


def number(text):
    found = re.match(r"-?\d+(\.\d+)?", text)
    return float(found[0]) if found else None


def with_clocks(work):
    """Of a part that times: its figures get the clocks and the power that it ran at."""
    def watched(runner, *arguments):
        with Clocks(runner) as clocks:
            message, figures = work(runner, *arguments)
        return message, {**figures, "clocks": clocks.told()}
    return watched
