"""What a run writes: one JSON report, the log of the part that runs, and one archive of the logs of all parts.

Each is replaced at once, and after every part, so that whatever ends a run leaves what came before."""
import json
import os
import pathlib
import shutil
import tarfile

TAIL = 16 * 1024  # of a part's log, in the report
HEAD_KEPT, TAIL_KEPT = 256 * 1024, 1024 * 1024  # of a log, in the archive


def replace(path, write):
    """`write` makes a file beside it, which then takes its place."""
    beside = path.with_name(path.name + ".new")
    write(beside)
    os.replace(beside, path)


def tail_of(path, count=TAIL):
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - count))
        return file.read().decode(errors="replace")


class Report:
    """`checks` are in the order of the plan; a part that has not run yet is there as well."""

    def __init__(self, path, about, names, judge=lambda checks: []):
        """`judge`: the criteria that the checks meet or miss."""
        self.path = path
        self.about, self.judge = dict(about), judge
        self.checks = {name: entry(name, "not reached") for name in names}
        self.dirty = self.stopped = None

    def set(self, name, *values):
        self.checks[name] = entry(name, *values)
        self.write()

    def count(self, status):
        return sum(check["status"] == status for check in self.checks.values())

    def complete(self):
        return not self.count("not reached") and not self.count("running")

    def write(self):
        ok = self.complete() and not self.count("failed")
        report = {"ok": ok, "complete": self.complete(), "stopped": self.stopped, "dirty": self.dirty is not None, "dirty_reason": self.dirty,
                  **self.about, "criteria": self.judge(self.checks), "checks": list(self.checks.values())}
        replace(self.path, lambda beside: beside.write_text(json.dumps(report, indent=2) + "\n"))


def entry(name, status, seconds=0.0, message="", figures=None, output=""):
    return {"name": name, "status": status, "seconds": seconds, "message": message, "figures": figures, "output": output}


class Logs:
    """REPORT.now.log of the part that runs; REPORT.logs.tar.gz of all, because some machines give back few files."""

    def __init__(self, report, folder):
        self.now = report.with_name(report.stem + ".now.log")
        self.archive = report.with_name(report.stem + ".logs.tar.gz")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()

    def take_over(self, archive):
        """The logs of an earlier run."""
        with tarfile.open(archive) as tar:
            for member in tar:
                path = (self.folder / member.name).resolve()
                if member.isfile() and self.folder.resolve() in path.parents:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(tar.extractfile(member).read())

    def begin(self):
        self.now.write_bytes(b"")

    def add(self, text):
        with open(self.now, "ab") as file:
            file.write(text.encode(errors="replace") if isinstance(text, str) else text)

    def end(self, part):
        """The end of the log, for the report."""
        tail = tail_of(self.now)
        self.keep(self.now, f"{part}.log")
        self.now.unlink()
        self.pack()
        return tail

    def keep(self, path, name):
        to = self.folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size
        if size <= HEAD_KEPT + TAIL_KEPT:
            shutil.copyfile(path, to)
            return
        with open(path, "rb") as file, open(to, "wb") as out:
            out.write(file.read(HEAD_KEPT))
            file.seek(-TAIL_KEPT, os.SEEK_END)
            out.write(f"\n[{size - HEAD_KEPT - TAIL_KEPT} bytes are left out]\n".encode())
            out.write(file.read())

    def pack(self):
        def write(beside):
            with tarfile.open(beside, "w:gz", compresslevel=5) as tar:
                for path in sorted(self.folder.rglob("*")):
                    if path.is_file():
                        tar.add(path, arcname=str(path.relative_to(self.folder)))
        replace(self.archive, write)
