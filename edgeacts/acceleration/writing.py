"""A compiled model as files for a program of one's own, in any language that has ONNX Runtime."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from edgeacts import native
from edgeacts.acceleration.cache import MANIFEST, MODEL, external_files
from edgeacts.acceleration.manifest import Manifest
from edgeacts.acceleration.opening import compiled_model
from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.files import atomic_path, write_text_atomic

GUIDE = "LOADING.md"
_LIBRARY = {"win32": "edgeacts_kernels.dll", "darwin": "libedgeacts_kernels.dylib"}


@dataclass(frozen=True)
class Written:
    """`model` is the compiled file, or the model as it is where that is best; `library` holds its kernels, None without any."""

    model: Path
    library: Path | None
    manifest: Manifest


def accelerate(path: str | Path, out: str | Path, *, threads: int = 1) -> Written:
    """Write OUT/model.onnx compiled for this machine, the kernels' library beside it, manifest.json, and LOADING.md.

    The files are for this CPU, operating system and version of ONNX Runtime. Where nothing is faster than the model as it is,
    that is what is written, without a library, and `manifest.reason` says so. Raises UsageError or EdgeactsError.
    """
    source, folder = Path(path), Path(out)
    if not source.is_file():
        raise UsageError(f"model {source} does not exist")
    if folder.is_file():
        raise UsageError(f"{folder} is a file, --out needs a folder")
    if (folder / MODEL).resolve() == source.resolve():
        raise UsageError(f"{source} would be written over: give another folder")

    def stock() -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        try:
            return ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's classes share nothing but Exception
            raise EdgeactsError(f"onnxruntime cannot open {source}: {one_line(error)}") from error

    compiled, manifest = compiled_model(source, stock, threads=threads)
    _copy(compiled or source, folder / MODEL)
    library = folder / _LIBRARY.get(sys.platform, "libedgeacts_kernels.so")
    if compiled is not None:
        built = native.library_path()
        assert built is not None  # noqa: S101  a compiled model was checked with it
        _copy(built, library)
    else:
        for weights in external_files(source):
            _copy(weights, folder / weights.relative_to(source.parent))
        library.unlink(missing_ok=True)  # of an earlier run
    manifest.write(folder / MANIFEST)
    kept = None if compiled is None else library
    write_text_atomic(folder / GUIDE, _guide(manifest, kept))
    return Written(folder / MODEL, kept, manifest)


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _guide(manifest: Manifest, library: Path | None) -> str:
    if library is None:
        return f"# Loading model.onnx\n\nNothing was compiled: {manifest.reason}. Load model.onnx as any other model.\n"
    return _GUIDE.format(
        library=library.name, onnxruntime=manifest.onnxruntime, isa=manifest.isa, threads=manifest.threads
    )


_GUIDE = """# Loading model.onnx

The file was optimized by ONNX Runtime {onnxruntime} for this CPU ({isa}) and {threads} thread(s). Use the same version, and load
it with optimization switched off (it is done) and with the library `{library}` registered. Inputs and outputs are those of the
portable model. On another machine, run `edgeacts accelerate` there, or load the portable model.

C

    OrtSessionOptions* options;
    api->CreateSessionOptions(&options);
    api->SetSessionGraphOptimizationLevel(options, ORT_DISABLE_ALL);
    api->RegisterCustomOpsLibrary_V2(options, "{library}");
    api->CreateSession(env, "model.onnx", options, &session);

C++

    Ort::SessionOptions options;
    options.SetGraphOptimizationLevel(GraphOptimizationLevel::ORT_DISABLE_ALL);
    options.RegisterCustomOpsLibrary(ORT_TSTR("{library}"));
    Ort::Session session(env, ORT_TSTR("model.onnx"), options);

Java

    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.NO_OPT);
    options.registerCustomOpLibrary("/path/to/{library}");
    OrtSession session = environment.createSession("model.onnx", options);

C#

    var options = new SessionOptions {{ GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL }};
    options.RegisterCustomOpLibraryV2("{library}", out var handle);
    using var session = new InferenceSession("model.onnx", options);

Python without edgeacts

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.register_custom_ops_library("{library}")
    session = onnxruntime.InferenceSession("model.onnx", options)
"""
