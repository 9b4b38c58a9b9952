"""What is required of a GPU, judged from what the parts have measured; and the table of it that ends a run's output."""
from gpu_check.check_bench import SHAPES
from gpu_check.check_memory import OFF

DATA_WAIT = 1  # percent of a step, at most
HEADINGS = ("size", "ms", "required", "times dense", "required", "data_wait %", "estimate %", "over 1.3 floors")
WIDTHS = (24, 8, 9, 12, 9, 12, 11, 0)
WORST = 3  # phases of a line


class Sizes:
    """What the checks have found about one size; None where they have not."""

    def __init__(self, checks, shape):
        self.shape = shape
        self.same = figures_of(checks, f"bench/step/{shape}/same-batch")
        plain, dense = figures_of(checks, f"bench/step/{shape}"), figures_of(checks, f"baseline/{shape}")
        memory = figures_of(checks, f"bench/memory/{shape}", ("ok", "failed"))
        self.ms = self.same.get("step_ms")
        self.times_dense = dense["dense"]["step_ms"] / self.ms if dense and self.ms else None
        wait = plain.get("phases", {}).get("data_wait")
        self.data_wait = 100 * wait["ms"] / plain["step_ms"] if wait else None
        self.estimate = 100 * (memory["ratio"] - 1) if "ratio" in memory else None
        self.required_ms, self.required_times = SHAPES.get(shape, (None, None))

    def worst(self):
        phases = self.same.get("phases", {})
        over = [(phases[name].get("times_floor", 0), name) for name in self.same.get("over_floor", []) if name in phases]
        return ", ".join(f"{name} {times:.1f}" for times, name in sorted(over, reverse=True)[:WORST])


def figures_of(checks, name, statuses=("ok",)):
    check = checks.get(name)
    return (check["figures"] or {}) if check and check["status"] in statuses else {}


def sizes_of(checks):
    begin, end = "bench/step/", "/same-batch"
    return [Sizes(checks, name[len(begin):-len(end)]) for name in checks if name.startswith(begin) and name.endswith(end)]


def criterion(name, value, required, met):
    """`met` is None where nothing was measured or nothing is required."""
    return {"name": name, "value": value, "required": required, "met": met if value is not None and required is not None else None}


def judge(checks):
    found = []
    for size in sizes_of(checks):
        found += [criterion(f"step_ms {size.shape}", size.ms, size.required_ms, at_most(size.ms, size.required_ms)),
                  criterion(f"times_dense {size.shape}", size.times_dense, size.required_times, at_most(size.required_times, size.times_dense)),
                  criterion(f"data_wait_percent {size.shape}", size.data_wait, DATA_WAIT, size.data_wait is not None and size.data_wait < DATA_WAIT),
                  criterion(f"estimate_off_percent {size.shape}", size.estimate, 100 * OFF, at_most(abs(size.estimate or 0), 100 * OFF))]
    return found


def at_most(value, limit):
    return value is not None and limit is not None and value <= limit


def number(value, form):
    return "-" if value is None else format(value, form)


def table(checks):
    """Lines; none where no size was measured."""
    sizes = sizes_of(checks)
    lines = [line(HEADINGS)]
    for size in sizes:
        lines.append(line((size.shape, number(size.ms, ".3f"), number(size.required_ms, "g"), number(size.times_dense, ".2f"),
                           number(size.required_times, "g"), number(size.data_wait, ".2f"), number(size.estimate, "+.1f"), size.worst())))
    selects = [f"select {name.removeprefix('bench/select/')}: {check['message']}" for name, check in checks.items()
               if name.startswith("bench/select/") and check["status"] == "ok"]
    missed = [one["name"] for one in judge(checks) if one["met"] is False]
    lines += selects + ([f"NOT MET: {'; '.join(missed)}"] if missed else [])
    measured = any(one["value"] is not None for one in judge(checks))
    return lines if measured or selects else []


def line(fields):
    return " ".join(field.ljust(width) if i == 0 else field.rjust(width) for i, (field, width) in enumerate(zip(fields, WIDTHS)))
