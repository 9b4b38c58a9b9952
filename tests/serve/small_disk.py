"""A file system so small that a test can fill it."""
import os
import pathlib
import subprocess
import unittest


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

    def fill(self):
        """To the last byte."""
        with open(self.filler, "ab", buffering=0) as filler:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    pass

    def fill_but(self, left):
        """So many bytes are left."""
        room = os.statvfs(self.folder)
        self.filler.write_bytes(bytes(room.f_bavail * room.f_frsize - left))

    def empty(self):
        self.filler.unlink()

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=False)
