"""Measures ours and the peers that PyTorch and Triton bring, in turns in one process, and writes a record.

    python3 benches/peers/run.py --lib libexpert_gemm.so --bench .bundle/bench --out OUT/peers.json

`bench` names the cases; without `--lib` it also measures ours, as a process before and after the peers of each group.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback

import torch

import data
import deep_gemm_peer
import record as records
import timing
from data import Activations, Case, Weights
from ours import FP8, MXFP8_MM, MXFP8_QUANT, Library, Ours
from torch_peers import GroupedBf16, GroupedRow, ScaledMmLoop
from triton_fp8 import TritonFp8
from triton_mx import TritonMx
from triton_quant import QuantOutput, TritonQuant

HERE = os.path.dirname(os.path.abspath(__file__))
DEVICE = torch.device("cuda")
# Largest relative error of a product, and largest share of a quantiser's bytes that differ from the closed form.
PRODUCT_LIMIT, QUANT_LIMIT = 2e-2, 1e-4
# A peer that was refused so often in a row is not asked again.
MOST_FAILURES = 3

# By option: name of the operation, what the C library calls it, its data, its peers.
OPERATIONS = {
    "fp8": (
        "es_fp8_blockwise_scaled_grouped_mm", FP8, "block",
        lambda: [TritonFp8(False), TritonFp8(True), ScaledMmLoop(), GroupedRow(), GroupedBf16(False)]
        + deep_gemm_peer.contenders(),
    ),
    "mxfp8-mm": (
        "es_sm100_mxfp8_blockscaled_grouped_mm", MXFP8_MM, "mx",
        lambda: [GroupedBf16(True), TritonMx(True), TritonMx(False)],
    ),
    "mxfp8-quant": (
        "es_sm100_mxfp8_blockscaled_grouped_quant", MXFP8_QUANT, "bf16",
        lambda: [TritonQuant(True), TritonQuant(False)],
    ),
}


class OutOfTime(Exception):
    pass


class Failed(Exception):
    pass


def stored(kind):
    """The data that a kind of product uses: row-wise ones use the codes of the blockwise."""
    return "block" if kind == "row" else kind


class Operation:
    """One operation with all its contenders."""

    def __init__(self, option, args, library, flush, record):
        self.option, self.args, self.flush, self.record = option, args, flush, record
        self.name, c_name, kind, peers = OPERATIONS[option]
        self.peers = peers()
        self.ours = Ours(library, c_name, kind) if library else None
        self.failures = {peer.name: 0 for peer in self.peers}
        self.quant = option == "mxfp8-quant"
        record["meta"]["peers"].append(records.columns(self.name, self.peers))

    def cases(self):
        command = [self.args.bench, "--list", "--op", self.option, "--set", self.args.set]
        if self.args.cases:
            command += ["--cases", self.args.cases]
        listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return [Case(**case) for case in listed[self.name]]

    def run(self):
        for _, group in itertools.groupby(self.cases(), lambda case: (case.n, case.k, case.experts)):
            self.group(list(group))

    def group(self, cases):
        """Cases that share weights."""
        if time.time() > self.args.deadline:
            raise OutOfTime
        before = None if self.ours else self.bench(cases)
        weights, done = {}, []
        for case in cases:
            if time.time() > self.args.deadline:
                break
            done.append(self.case(case, weights))
        if self.ours is None:
            self.join(done, before, self.bench(cases))
        self.record["cases"] += done
        records.write(self.record, self.args.out)
        weights.clear()
        torch.cuda.empty_cache()
        if len(done) < len(cases):
            raise OutOfTime

    def case(self, case, weights):
        inputs, graphs, kept = {}, {}, []
        for contender in ([self.ours] if self.ours else []) + self.peers:
            is_ours = contender is self.ours
            if not is_ours and self.failures[contender.name] >= MOST_FAILURES:
                continue
            try:
                graph = self.contender(case, contender, inputs, weights, kept)
                if graph is not None:
                    graphs[contender.name] = graph
                if not is_ours:
                    self.failures[contender.name] = 0
            except Exception as error:
                # A lost context answers every later call with the same error: then nothing can be measured any more.
                torch.cuda.synchronize()
                if is_ours:
                    raise
                self.failures[contender.name] += 1
                print(f"{contender.name}: {case.case}: {type(error).__name__}: {str(error).strip()[:300]}", flush=True)
                if self.args.verbose:
                    traceback.print_exc()
        times = timing.measure(graphs, self.flush) if graphs else {}
        kernel = self.ours.kernel if self.ours else ""
        ours = times.pop("ours", None)
        entry = records.timed(case, self.name, kernel, ours) if ours else {"case": case.case, "peers": {}}
        entry["peers"] = {name: {"us": timing.median(us)} for name, us in times.items()}
        said = "  ".join(f"{name} {peer['us']:.1f}" for name, peer in entry["peers"].items())
        print(f"{case.case:44s} {'ours %.1f  ' % entry['us'] if ours else ''}{said}", flush=True)
        if self.ours:
            self.ours.close()
        return entry

    def contender(self, case, contender, inputs, weights, kept):
        """The graph of a contender's fastest configuration, checked; None if it leaves the case out."""
        kind = stored(contender.kind)
        candidates = contender.candidates(case, None, None)
        if not candidates:
            return None
        if kind not in inputs:
            inputs[kind] = Activations(case, kind, DEVICE)
        if kind not in weights and not self.quant:
            weights[kind] = Weights(case, kind, DEVICE)
        a, b = inputs[kind], weights.get(kind)
        if self.quant:
            output = QuantOutput(case, contender.same_operation, DEVICE)
        else:
            output = torch.full((case.rows, case.n), float("nan"), dtype=torch.bfloat16, device=DEVICE)
        best, refusal = None, None
        for candidate in candidates:
            try:
                call = contender.prepare(case, a, b, output, candidate)
                results = []
                graph = timing.capture(lambda: results.append(call()))
                us = 0.0
                if len(candidates) > 1:
                    us = timing.median(timing.rounds({"": graph}, self.flush, 3)[""])
                if best is None or us < best[0]:
                    best = (us, graph, call, results)
            except Exception as error:
                torch.cuda.synchronize()
                refusal = error
        if best is None:
            raise refusal
        _, graph, call, results = best
        kept.append((call, results, output))
        self.check(case, contender, graph, call, results[-1], output, a, b)
        return graph

    def check(self, case, contender, graph, call, result, output, a, b):
        """One more replay into an output that holds NaN, and its error."""
        if self.quant:
            output.codes.fill_(0x7F)
            output.scales.zero_()
        else:
            output.fill_(float("nan"))
        graph.replay()
        if hasattr(call, "gather"):
            result = call.gather()
        torch.cuda.synchronize()
        if hasattr(call, "status") and call.status() != 0:
            raise Failed(f"the status word says {call.status():#x}")
        if self.quant:
            wrong, limit = data.quant_error(case, output, a.codes), QUANT_LIMIT
        else:
            wrong, limit = data.product_error(case, result, a, b, contender.kind), PRODUCT_LIMIT
        # NaN is no number below the limit either.
        if not wrong < limit:
            raise Failed(f"is wrong by {wrong:.2e}")

    def bench(self, cases):
        """Ours by the program `bench`: its records by case."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ours.json")
            names = ",".join(case.case for case in cases)
            command = [self.args.bench, "--op", self.option, "--set", self.args.set, "--cases", names, "--out", path]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            with open(path) as file:
                return {entry["case"]: entry for entry in json.load(file)["cases"]}

    @staticmethod
    def join(entries, before, after):
        """Fills entries that hold peers only with the mean of two measurements around them."""
        for entry in entries:
            first, second = before[entry["case"]], after[entry["case"]]
            merged = dict(second, peers=entry["peers"], us=(first["us"] + second["us"]) / 2)
            merged["us_min"] = min(first["us_min"], second["us_min"])
            merged["us_max"] = max(first["us_max"], second["us_max"])
            merged["replays"] = first["replays"] + second["replays"]
            for rate in ("tflops", "gbps"):
                merged[rate] = second[rate] * second["us"] / merged["us"]
            entry.update(merged)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="where to write the record")
    parser.add_argument("--bench", default=".bundle/bench", help="the program `bench`")
    parser.add_argument("--lib", help="libexpert_gemm.so; without it ours is measured by `bench`")
    parser.add_argument("--ops", default=",".join(OPERATIONS), help="operations, separated by commas")
    parser.add_argument("--set", default="peers", choices=["peers", "between", "matrix"], help="which cases")
    parser.add_argument("--cases", help="only cases whose name contains one of these, separated by commas")
    parser.add_argument("--budget", type=float, default=540, help="seconds after which no case is begun")
    parser.add_argument("--table", default=os.path.join(HERE, "h200-2026-11-23.json"), help="older table of peers")
    parser.add_argument("--verbose", action="store_true", help="print the stack of every refusal")
    args = parser.parse_args()
    args.deadline = time.time() + args.budget
    return args


def main():
    args = arguments()
    library = Library(os.path.abspath(args.lib), torch.cuda.current_device()) if args.lib else None
    timing.warm_up()
    flush = timing.Flush()
    record = {"meta": records.meta(flush), "cases": []}
    print(record["meta"]["gpu"], record["meta"]["driver"], record["meta"]["ceiling"], flush=True)
    try:
        for option in args.ops.split(","):
            print(f"== {OPERATIONS[option][0]}", flush=True)
            Operation(option, args, library, flush, record).run()
    except OutOfTime:
        print(f"stopped after {args.budget:.0f} s: the cases that are missing were not measured", flush=True)
    finally:
        if record["cases"]:
            with open(args.table) as file:
                table = json.load(file)
            if table["gpu"] == record["meta"]["gpu"]:
                records.add_absent(record, table)
            records.write(record, args.out)
            print(f"{len(record['cases'])} cases written to {args.out}")


if __name__ == "__main__":
    sys.exit(main())
