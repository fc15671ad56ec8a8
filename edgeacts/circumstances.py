"""What really ran: versions, CPU, load. A number without its circumstances is not reported."""

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import msgspec

PACKAGES = (
    "edgeacts",
    "torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "nncf",
    "numpy",
    "sympy",
    "pytorch-lightning",
)


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """Machine and software of one measurement; `load_average_1min` is the machine's when it was taken."""

    time_utc: str
    cpu: str
    cpu_count: int
    cpu_features: tuple[str, ...]
    system: str
    python: str
    versions: dict[str, str]
    load_average_1min: float | None


def circumstances() -> Circumstances:
    """The circumstances as they are now."""
    model, features = cpu()
    return Circumstances(
        time_utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        cpu=model,
        cpu_count=os.cpu_count() or 1,
        cpu_features=features,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions=_versions(),
        load_average_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_TELLING = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx512vbmi",
            "avx512_fp16", "avx_vnni", "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve")  # fmt: skip


def cpu() -> tuple[str, tuple[str, ...]]:
    """Model name and the telling instruction-set flags; from /proc/cpuinfo where there is one."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in {"flags", "Features"}:
                flags.update(value.split())
    return model, tuple(name for name in _TELLING if name in flags)
