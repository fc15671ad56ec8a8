"""Model -> the fastest of several ways to run it here, each checked against the model as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import onnx
import onnxruntime as ort

from edgeacts import native
from edgeacts.acceleration.choosing import Gain, gain, times_in_turn
from edgeacts.acceleration.finding import find_all_sites
from edgeacts.acceleration.int8_regions import is_quantized
from edgeacts.acceleration.manifest import CandidateRecord, SiteRecord
from edgeacts.acceleration.markers import Markers, optimize
from edgeacts.acceleration.means import pool_means
from edgeacts.acceleration.placed import DOMAIN as KERNELS
from edgeacts.acceleration.placed import EXACT_KERNELS, Placed
from edgeacts.acceleration.rewriting import rewrite
from edgeacts.acceleration.samples import errors, largest_error, moved_a_little, outputs_of, sample_feeds
from edgeacts.acceleration.sites import Site
from edgeacts.errors import EdgeactsError, one_line
from edgeacts.onnx_metadata import MAX_MODEL_BYTES


class _Way(NamedTuple):
    """What `rewrite` is to replace."""

    depthwise: str
    products: bool = False


_WAYS = {
    "tables": _Way("none"),
    "depthwise": _Way("activated"),
    "depthwise everywhere": _Way("all"),
    "convolutions": _Way("convolutions"),
    "products": _Way("none", products=True),
    "depthwise and products": _Way("activated", products=True),
    "depthwise everywhere and products": _Way("all", products=True),
}
# A table's error grows from layer to layer: by the measure of trained networks, up to this times the sum of the bounds.
_AMPLIFICATION = 8.0
_NOISE = 5e-5  # what another order of additions does to a deep float32 network
_MOVE = 1e-6  # of an input: the bound of a table
_TIPS = 1e-4  # of an input: what tips some 8-bit values to the next step, which later layers make larger
_LOG_FATAL_ONLY = 4


@dataclass(frozen=True)
class Compiled:
    """`data` is the chosen model, None for the model as it is; `reason` says why it was chosen."""

    chosen: str
    reason: str
    data: bytes | None
    allowed: float
    candidates: dict[str, CandidateRecord]
    sites: tuple[SiteRecord, ...]


def compile_model(model: onnx.ModelProto, stock: Any, *, threads: int, where: str) -> Compiled:
    """The best way to run `model`; `stock` is an open session of it as it is. Nothing that fails here is fatal."""
    missing = native.missing()
    if missing is not None:
        return _as_it_is(missing, ())
    try:
        marked, sites = find_all_sites(model, where)
    except EdgeactsError as error:
        return _as_it_is(str(error), ())
    except Exception as error:  # of onnx, for graphs that it does not expect: the model itself may run
        return _as_it_is(f"its activations were not found: {one_line(error)}", ())
    try:
        feeds = sample_feeds(stock.get_inputs(), lambda feed: stock.run(None, feed))
        return _Compilation(marked, sites, stock, feeds, threads).best()
    except EdgeactsError as error:
        return _as_it_is(str(error), sites)
    except Exception as error:  # of onnx and ONNX Runtime, whose classes share nothing else
        return _as_it_is(f"it cannot be compiled: {one_line(error)}", sites)


def _as_it_is(reason: str, sites: Sequence[Site]) -> Compiled:
    return Compiled("stock", reason, None, 0.0, {}, _records(sites, (), reason))


def kernel_options(threads: int) -> Any:
    """Options for a compiled model: the kernels, and no optimization, which it has behind it."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_FATAL_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads > 1:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    options.register_custom_ops_library(str(native.library_path()))
    return options


class _Compilation:
    def __init__(
        self,
        model: onnx.ModelProto,
        sites: Sequence[Site],
        stock: Any,
        feeds: list[dict[str, Any]],
        threads: int,
    ) -> None:
        self.sites, self.stock, self.feeds, self.threads = sites, stock, feeds, threads
        self.markers = Markers(model, sites)
        self.markers.place(model)
        pool_means(model)
        self.optimized = optimize(model, threads=threads)
        self.reference = outputs_of(stock, feeds)
        self.allowed = _NOISE + _AMPLIFICATION * sum(site.bound for site in sites if site.table is not None)
        if is_quantized(model):
            self.allowed += largest_error(self.reference, self._moved(_TIPS))
        else:
            self._leave_out_what_tells_nothing()
        self.records: dict[str, CandidateRecord] = {}
        self.built: dict[str, tuple[bytes, list[Placed], Any]] = {}

    def _moved(self, share: float) -> list[list[Any]]:
        return outputs_of(self.stock, moved_a_little(self.feeds, share))

    def _leave_out_what_tells_nothing(self) -> None:
        """Samples on which the model itself, its inputs moved as little as tables are off, moves by more than is allowed.

        Far from what it was made for a model may enlarge a move a million times; any two ways to compute it differ there.
        """
        own = errors(self.reference, self._moved(_MOVE))
        telling = [place for place, error in enumerate(own) if error <= self.allowed]
        if telling:
            self.feeds, self.reference = (
                [self.feeds[i] for i in telling],
                [self.reference[i] for i in telling],
            )

    def best(self) -> Compiled:
        for name, way in _WAYS.items():
            self._build(name, way)
        times = times_in_turn(
            {"stock": self.stock, **{w: s for w, (_, _, s) in self.built.items()}}, self.feeds[0]
        )
        for name, values in times.items():
            error = self.records[name].error if name in self.records else None
            self.records[name] = CandidateRecord(milliseconds=median(values) * 1e3, error=error)
        gains = {way: gain(times[way], times["stock"]) for way in self.built}
        fastest = min(gains, key=lambda way: gains[way].ratio, default="stock")
        if fastest == "stock" or not gains[fastest].sure:
            reason = self._why_stock(gains)
            return Compiled(
                "stock", reason, None, self.allowed, self.records, _records(self.sites, (), reason)
            )
        data, placed, _ = self.built[fastest]
        reason = f"{gains[fastest].ratio:.2f} of the time of the model as it is"
        allowed = self._allowed(onnx.load_model_from_string(data))
        return Compiled(fastest, reason, data, allowed, self.records, _records(self.sites, placed, ""))

    def _allowed(self, model: onnx.ModelProto) -> float:
        """Nothing for a model whose kernels are all exact."""
        kernels = {node.op_type for node in model.graph.node if node.domain == KERNELS}
        return 0.0 if kernels <= EXACT_KERNELS else self.allowed

    def _why_stock(self, gains: Mapping[str, Gain]) -> str:
        tried = [f"{way} {g.ratio:.2f}, surely below {g.upper:.2f}" for way, g in gains.items()]
        if tried:
            return f"nothing is surely faster here than the model as it is (of its time: {'; '.join(tried)})"
        refused = [f"{way}: {record.why}" for way, record in self.records.items() if record.why]
        return "; ".join(refused) or "it has no activation and no convolution that a kernel could take"

    def _build(self, name: str, way: _Way) -> None:
        try:
            model, placed = rewrite(
                self.optimized,
                self.markers,
                depthwise=way.depthwise,
                products=way.products,
                threads=self.threads,
            )
            if not any(node.domain == KERNELS for node in model.graph.node):
                return
            data = model.SerializeToString(deterministic=True)
            if any(data == other for other, _, _ in self.built.values()):
                return
            session = ort.InferenceSession(
                data, kernel_options(self.threads), providers=["CPUExecutionProvider"]
            )
            difference = largest_error(self.reference, outputs_of(session, self.feeds))
        except Exception as problem:  # ONNX Runtime's classes share nothing but Exception
            self.records[name] = CandidateRecord(why=one_line(problem))
            return
        allowed = self._allowed(model)
        if not difference <= allowed:
            why = f"its outputs differ by {difference:.1e} of their movement, more than {allowed:.1e}"
            self.records[name] = CandidateRecord(error=min(difference, 1e30), why=why)
            return
        self.records[name] = CandidateRecord(error=difference)
        self.built[name] = (data, placed, session)


def _records(sites: Sequence[Site], placed: Sequence[Placed], reason: str) -> tuple[SiteRecord, ...]:
    where = {p.site: p for p in placed}
    result = []
    for site in sites:
        place = where.get(site.name)
        if site.slope is not None and not place and not reason:
            why = "LeakyRelu: the runtime fuses it into what stands before it"
        else:
            why = site.why or reason or "the runtime's optimizer moved it out of reach"
        result.append(
            SiteRecord(
                name=site.name,
                operator=site.operator,
                form=site.form,
                bound=site.bound,
                kernel=place.kernel if place else "",
                layout=place.layout if place else "",
                exact=place.exact if place else False,
                why="" if place else why,
            )
        )
    return tuple(result)


def load_whole(path: Path) -> onnx.ModelProto:
    """The model with its external weights. Raises EdgeactsError for what cannot be read or is too large."""
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's and onnx's errors share nothing but Exception
        raise EdgeactsError(f"{path} cannot be read: {one_line(error)}") from error
    if model.ByteSize() > MAX_MODEL_BYTES:
        raise EdgeactsError(
            f"{path} is larger than 2 GiB with its weights, which a compiled file cannot hold"
        )
    return model
