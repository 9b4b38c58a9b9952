"""A file system so small that a test can fill it."""
import os
import pathlib
import subprocess
import threading
import time
import unittest

SETTLED = 0.5  # seconds in which nobody who writes here has deleted something


class SmallDisk:
    def __init__(self, folder, mebibytes):
        """Mounted on this folder until close(); the test is skipped where nothing may be mounted."""
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root may mount a small file system")
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], capture_output=True, text=True, check=False)
        if mounted.returncode:
            raise unittest.SkipTest("no file system can be mounted here: " + mounted.stderr.strip())
        self.folder = pathlib.Path(folder)
        self.filler = self.folder / "filler"
        self.emptied = threading.Event()
        self.keeper = None

    def fill(self):
        """To the last byte, until empty(): a checkpoint that is deleted meanwhile makes no room for the next one."""
        self.emptied.clear()
        settled = threading.Event()
        self.keeper = threading.Thread(target=self._keep_full, args=(settled,), daemon=True)
        self.keeper.start()
        settled.wait()

    def _keep_full(self, settled):
        quiet_since = time.monotonic()
        while not self.emptied.wait(0.005):
            if self._write_filler():
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > SETTLED:
                settled.set()

    def _write_filler(self):
        """How many bytes there was room for."""
        written = 0
        with open(self.filler, "ab", buffering=0) as filler:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        written += filler.write(b"x" * size)
                except OSError:
                    pass
        return written

    def fill_but(self, left):
        """So many bytes are left."""
        room = os.statvfs(self.folder)
        self.filler.write_bytes(bytes(room.f_bavail * room.f_frsize - left))

    def empty(self):
        self._stop_keeper()
        self.filler.unlink()

    def _stop_keeper(self):
        self.emptied.set()
        if self.keeper:
            self.keeper.join()
            self.keeper = None

    def close(self):
        self._stop_keeper()
        subprocess.run(["umount", "-l", self.folder], check=False)
