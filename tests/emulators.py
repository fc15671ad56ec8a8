"""Emulators of CPUs that this machine is not: a static program goes in with its input, what it printed comes out."""

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "native"
NATIVE = HERE.parents[1] / "edgeacts" / "native"
SECTOR, HEADER, CYLINDER, OUTPUT_BYTES = 512, 32, 16 * 63 * 512, 1 << 20
MAGIC = 0x600DDA7A
OPTIONS = ("-std=c++17", "-O2", "-static", f"-I{NATIVE}")


@dataclass(frozen=True)
class Finished:
    """What a program printed, and how it ended."""

    code: int
    output: bytes
    instructions: int | None = None  # of an emulator that counts them


@dataclass(frozen=True)
class Qemu:
    """ARM programs as processes of this machine."""

    compiler: str = "aarch64-linux-gnu-g++"
    emulator: str = "qemu-aarch64-static"
    packages: str = "g++-aarch64-linux-gnu, qemu-user-static"

    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in (self.compiler, self.emulator) if shutil.which(name) is None)

    def run(
        self, program: Path, stdin: bytes, environment: Mapping[str, str], timeout: float = 250
    ) -> Finished:
        done = subprocess.run(
            [self.emulator, str(program)],
            input=stdin,
            env={**os.environ, **environment},
            capture_output=True,
            timeout=timeout,
        )
        return Finished(done.returncode, done.stdout)


@dataclass(frozen=True)
class Bochs:
    """x86-64 programs on a bare machine with a CPU of the list that `bochs -help cpu` prints."""

    cpu: str
    compiler: str = "g++"
    packages: str = "bochs, bochsbios, vgabios, g++"

    def missing(self) -> tuple[str, ...]:
        files = [Path("/usr/share/bochs/BIOS-bochs-latest"), Path("/usr/share/vgabios/vgabios.bin")]
        programs = tuple(name for name in (self.compiler, "bochs", "ld") if shutil.which(name) is None)
        return (*programs, *(str(file) for file in files if not file.exists()))

    def run(
        self, program: Path, stdin: bytes, environment: Mapping[str, str], timeout: float = 250
    ) -> Finished:
        folder = program.parent
        disk = folder / f"{self.cpu}.img"
        result_at = self._write_disk(disk, program.read_bytes(), stdin, environment)
        (folder / "bochsrc").write_text(self._settings(disk, folder / "bochs.log"))
        (folder / "commands").write_text("c\n")  # a build with the debugger waits for one
        command = ["bochs", "-q", "-f", str(folder / "bochsrc"), "-rc", str(folder / "commands")]
        # Its exit code is 1 also when the program asks for the end: the disk says how that was.
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
            env={**os.environ, "LD_PRELOAD": str(self._loopback(folder))},
        )  # fmt: skip
        with disk.open("rb") as file:
            file.seek(result_at * SECTOR)
            magic, code, size, _, instructions = struct.unpack("<IIIIQ", file.read(SECTOR)[:24])
            output = file.read(size) if magic == MAGIC else b""
        assert magic == MAGIC, f"no result on the disk: {(folder / 'bochs.log').read_text()[-3000:]}"
        return Finished(code, output, instructions)

    def _loopback(self, folder: Path) -> Path:
        """A library that keeps its VNC display to this machine."""
        target = folder / "loopback.so"
        command = [self.compiler, "-shared", "-fPIC", str(HERE / "bare_machine" / "loopback.cc"), "-ldl"]
        subprocess.run([*command, "-o", str(target)], check=True, timeout=100)
        return target

    def _settings(self, disk: Path, log: Path) -> str:
        return f"""display_library: rfb, options="timeout=0"
cpu: model={self.cpu}, count=1, ips=100000000, reset_on_triple_fault=0
megs: 512
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=disk, path={disk}, mode=flat
boot: disk
sound: waveoutdrv=dummy
speaker: enabled=0
plugin_ctrl: speaker=0
log: {log}
panic: action=fatal
clock: sync=none
"""

    def _write_disk(self, disk: Path, program: bytes, stdin: bytes, environment: Mapping[str, str]) -> int:
        folder, source = disk.parent, HERE / "bare_machine"
        disk.with_name(f"{disk.name}.lock").unlink(missing_ok=True)  # of a run that was ended from outside
        boot = folder / "boot.bin"
        objects = []
        for name in ("boot.S", "monitor.cc"):
            objects.append(folder / f"{name}.o")
            flags = ("-O2", "-ffreestanding", "-fno-pic", "-mgeneral-regs-only", "-mno-red-zone")
            more = (
                "-std=c++17",
                "-fno-exceptions",
                "-fno-asynchronous-unwind-tables",
                "-fcf-protection=none",
            )
            flags += more if name.endswith(".cc") else ()
            command = [self.compiler, *flags, "-c", str(source / name), "-o", str(objects[-1])]
            subprocess.run(command, check=True, timeout=100)
        link = ["ld", "-N", "-Ttext=0x7c00", "--oformat", "binary", "-e", "start", *map(str, objects)]
        subprocess.run([*link, "-o", str(boot)], check=True, timeout=100, capture_output=True)
        assert boot.stat().st_size <= HEADER * SECTOR, "the monitor is larger than its place on the disk"
        assert len(environment) <= 1, "a bare machine's program has one variable"
        variable = "".join(f"{name}={value}" for name, value in environment.items()) or "EDGEACTS_ISA="
        sectors = [(len(part) + SECTOR - 1) // SECTOR for part in (program, stdin)]
        result_at = HEADER + 1 + sum(sectors)
        header = struct.pack("<IIII240s", *sectors, len(stdin), result_at, variable.encode())
        with disk.open("wb") as file:
            file.write(boot.read_bytes())
            for at, part in (
                (HEADER, header),
                (HEADER + 1, program),
                (HEADER + 1 + sectors[0], stdin),
            ):
                file.seek(at * SECTOR)
                file.write(part)
            whole = result_at * SECTOR + OUTPUT_BYTES
            file.truncate((whole + CYLINDER - 1) // CYLINDER * CYLINDER)
        return result_at


def compile_program(compiler: str, sources: Sequence[Path], target: Path) -> Path:
    """A static program of these sources."""
    command = [compiler, *OPTIONS, *map(str, sources), "-o", str(target)]
    subprocess.run(command, check=True, timeout=250)
    return target
