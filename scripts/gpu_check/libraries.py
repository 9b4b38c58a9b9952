"""Where CUDA's libraries lie on this machine."""
import functools
import glob
import os
import re
import shutil
import subprocess
import sys

CUBLAS = "libcublasLt.so.13"
# These are searched anyway, and before the packed libraries they would hide those.
SYSTEM = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib/x86_64-linux-gnu", "/lib64", "/usr/lib", "/lib")


def tool(name, *folders):
    """A program of the machine, which may lie where PATH does not lead."""
    places = [os.environ.get("PATH") or "/usr/bin:/bin", "/usr/sbin", "/sbin", *folders]
    return shutil.which(name, path=":".join(places))


@functools.lru_cache(None)
def known_to_the_loader():
    """{name: path} by `ldconfig -p`."""
    ldconfig = tool("ldconfig")
    if not ldconfig:
        return {}
    try:
        listed = subprocess.run([ldconfig, "-p"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for name, path in re.findall(r"^\s*(\S+) \(libc6,x86-64[^)]*\) => (/\S+)", listed, re.MULTILINE):
        found.setdefault(name, path)
    return found


def folders():
    places = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for pattern in ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/x86_64-linux/lib", "/usr/local/cuda*/lib", "/opt/cuda*/lib64",
                    "/usr/local/nvidia/lib64"):
        places += sorted(glob.glob(pattern), reverse=True)
    places += SYSTEM
    for folder in sys.path:  # wheels of NVIDIA, as PyTorch installs them
        places += sorted(glob.glob(f"{folder}/nvidia/*/lib"))
    return [place for place in dict.fromkeys(places) if place]


def find(name):
    """The folder that holds it, or None."""
    for place in folders():
        if os.path.exists(os.path.join(place, name)):
            return place
    path = known_to_the_loader().get(name)
    return os.path.dirname(path) if path and os.path.exists(path) else None


def search_path(own):
    """LD_LIBRARY_PATH of the packed programs: their own folders, then CUDA's, each library's before others that hold one of its name."""
    order = {place: number for number, place in enumerate(folders())}
    found = {find(name) for name in (CUBLAS, "libnccl.so.2", "libcuda.so.1", "libnvidia-ml.so.1")} - {None, *SYSTEM}
    return ":".join([str(folder) for folder in own] + sorted(found, key=lambda place: (order.get(place, len(order)), place)))
