#!/usr/bin/env python3
"""Compares every #include below src/ with the table of who may include whom (docs/architecture.md)."""
import pathlib
import re
import subprocess
import sys

ALLOWED = {
    "common/base": set(),
    "common/formats": {"common/base"},
    "common/protocol": {"common/base"},
    "common/plan": {"common/protocol", "common/base"},
    "engine/tensor": {"common/base"},
    "engine/gpu": {"engine/tensor", "common/base"},
    "engine/backend": {"engine/gpu", "engine/tensor", "common/plan", "common/base"},
    "engine/comm": {"engine/gpu", "engine/tensor", "common/base"},
    "engine/data": {"engine/tensor", "common/formats", "common/base"},
    "engine/model": {"engine/backend", "engine/tensor", "common/plan", "common/protocol", "common/base"},
    "engine/train": {"engine/model", "engine/backend", "engine/data", "engine/comm", "engine/tensor", "common/plan",
                     "common/formats", "common/protocol", "common/base"},
    "control/launch": {"common/plan", "common/protocol", "common/base"},
    "control/store": {"common/protocol", "common/base"},
    "control/monitor": {"control/store", "common/protocol", "common/base"},
    "control/jobs": {"control/launch", "control/select", "control/monitor", "control/store", "common/plan", "common/protocol", "common/base"},
    "control/api": {"control/jobs", "control/select", "control/monitor", "control/store", "common/plan", "common/protocol", "common/base"},
    "control/net": {"control/api", "control/monitor", "common/base"},
    "control/select": {"control/monitor", "control/store", "common/plan", "common/protocol", "common/base"},
}
# Header or call -> the folders that may use it.
RESERVED = {
    r"#include <cuda": ["src/engine/gpu", "src/engine/backend/cuda"],
    r"#include <mpi\.h>": ["src/engine/comm/mpi"],
    r"#include <oneapi/": ["src/engine/backend/cpu"],
    r"#include <immintrin\.h>": ["src/engine/backend/cpu"],
    r"#include <omp\.h>": ["src/engine/backend/cpu", "apps"],
    r"#include <soci": ["src/control/store"],
    r"#include <boost/(asio|beast)": ["src/control/net"],
    r"#include <openssl/": ["src/control/api/secret.cpp"],
    r"#include <spdlog": ["src/common/base/log.cpp"],
    r"#include <dlfcn\.h>": ["src/control/monitor", "src/engine/comm", "bench"],
    r"\bgetenv\(|\bstd::cout\b|(?<!\w)f?printf\(|(?<![\w:.])exit\(": ["apps", "tests", "bench", "src/engine/comm/nccl"],
}


def folder_of(path):
    parts = pathlib.PurePosixPath(path).parts
    return "/".join(parts[1:3]) if parts[0] == "src" and len(parts) > 3 else None


def violations(path, text):
    own = folder_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        found = re.match(r'\s*#include "([^"]+)"', line)
        if found and own:
            target = "/".join(found.group(1).split("/")[:2])
            if path.endswith("_test.cpp") and target.startswith("tests/"):
                continue
            if target != own and target not in ALLOWED.get(own, set()):
                yield f"{path}:{number}: {own} may not include {found.group(1)}"
        if path.endswith("_test.cpp") or path.startswith("tests/"):
            continue
        for pattern, folders in RESERVED.items():
            if re.search(pattern, code) and not any(path.startswith(folder) for folder in folders):
                yield f"{path}:{number}: only {', '.join(folders)} may use this: {line.strip()}"


def self_test():
    planted = [('src/common/base/x.cpp', '#include "engine/train/step.h"'), ('src/engine/train/x.cpp', '#include "control/launch/job.h"'),
               ('src/engine/model/x.cpp', '#include <oneapi/dnnl/dnnl.hpp>'), ('src/control/launch/x.cpp', 'exit(1);')]
    for path, line in planted:
        assert list(violations(path, line)), f"not found: {line} in {path}"
    assert not list(violations("src/engine/train/x.cpp", '#include "engine/model/topk.h"'))


def main():
    if "--self-test" in sys.argv:
        return self_test()
    files = subprocess.run(["git", "ls-files", "--", "*.cpp", "*.h", "*.cu", "*.cuh"], capture_output=True, text=True, check=True).stdout.split()
    found = [v for path in files for v in violations(path, pathlib.Path(path).read_text())]
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
