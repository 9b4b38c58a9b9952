"""A PostgreSQL of the test's own: Debian's programs, a temporary folder, a free port of 127.0.0.1."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from serving import bound_to_us, eventually, free_port


class Postgres:
    def __init__(self):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            raise unittest.SkipTest("PostgreSQL is not installed (scripts/install-packages)")
        self.programs, self.process = found[-1].parent, None
        self.user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="saemill-postgres-"))
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        self.port = free_port()
        subprocess.run(bound_to_us([self.programs / "initdb", "-D", self.folder / "data", "-U", "saemill", "-A", "trust", "-E", "UTF8", "--locale=C",
                                    "--no-sync"], self.user), check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.start()
        self.query("CREATE DATABASE serve", "postgres")
        self.url = f"postgresql://saemill@127.0.0.1:{self.port}/serve"

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(bound_to_us([
                self.programs / "postgres", "-D", self.folder / "data", "-p", self.port, "-c", "listen_addresses=127.0.0.1",
                "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off"], self.user), stdout=log, stderr=log, cwd=self.folder)
        ready = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        assert eventually(lambda: subprocess.run(ready, check=False).returncode == 0), (self.folder / "log").read_text()

    def query(self, sql, database="serve"):
        """Rows of texts."""
        answer = subprocess.run([self.programs / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "saemill", "-d", database, "-At", "-c", sql],
                                check=True, capture_output=True, text=True)
        return [line.split("|") for line in answer.stdout.splitlines()]

    def crash(self):
        """Its children go with it, nothing is written any more, and the next start recovers."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def freeze(self):
        """It takes what is sent and answers nothing; so does a network that has lost it."""
        self.frozen = [self.process.pid, *map(int, subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True).stdout.split())]
        self.signal_frozen(signal.SIGSTOP)

    def thaw(self):
        self.signal_frozen(signal.SIGCONT)

    def signal_frozen(self, number):
        for pid in self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)
