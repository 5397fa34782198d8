"""The record: the same JSON as `bench` writes, with the peers of the run; and figures of older tables, scaled."""

import datetime
import json
import math
import os
import subprocess

import torch

import timing

METHOD = (
    "us: median of 8 to 30 event-timed CUDA-graph replays, ours and all peers in turns in one process, L2 filled before "
    "each by reading 256 MiB. Random normal data, quantised. bytes: each input and output once, weights of experts with "
    "rows only; ideal_us: the larger of bytes / 4.65 TB/s and flop / 1.5 PFLOP/s. Every peer is checked against float64 "
    "on sampled rows; ours too, outputs_sampled is 0 where it was not also held against the bit model. Peers with "
    "scaled_by were not measured in this run: their figures are those of an older table, times the change of the peer "
    "that is named there, which was measured in both (geometric mean over cases with as many rows)."
)


def command(*words):
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip()
        return said.splitlines()[0] if said else None
    except (OSError, subprocess.TimeoutExpired):
        return None


def smi(field):
    return command("nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "-i", "0")


def number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def ceiling(flush):
    """Reading, copying and doing nothing, by the method of the cases."""
    memory = torch.zeros(1 << 30, dtype=torch.uint8, device="cuda")
    other, one = torch.empty_like(memory), torch.zeros(1, device="cuda")
    floats, sums = memory.view(torch.float32).view(4096, -1), torch.empty(4096, device="cuda")
    calls = {
        "read": lambda: torch.amax(floats, dim=1, out=sums),
        "copy": lambda: other.copy_(memory),
        "floor": lambda: one.add_(1),
    }
    graphs = {name: timing.capture(call) for name, call in calls.items()}
    fastest = {name: times[0] for name, times in timing.rounds(graphs, flush, 10).items()}
    gigabytes = memory.numel() * 1e-3
    return {
        "read_gbps": gigabytes / fastest["read"],
        "copy_gbps": 2 * gigabytes / fastest["copy"],
        "floor_us": fastest["floor"],
    }


def meta(flush):
    commit = os.environ.get("EXPERT_GEMM_COMMIT") or command("git", "rev-parse", "--short=12", "HEAD")
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": f"{smi('driver_version')}, CUDA {torch.version.cuda}",
        "clocks": number(smi("clocks.max.sm")),
        "watts": number(smi("power.limit")),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
        "method": METHOD,
        "ceiling": ceiling(flush),
        "peers": [],
    }


def columns(op, peers):
    """An entry of `meta.peers`."""
    fields = ("name", "same_operation", "version", "what")
    return {"op": op, "peers": [{field: getattr(peer, field) for field in fields} for peer in peers]}


def timed(case, op, kernel, times):
    """A case of the record without its peers, from sorted microseconds."""
    us = timing.median(times)
    return {
        "op": op,
        "case": case.case,
        "kernel": kernel,
        "us": us,
        "us_min": times[0],
        "us_max": times[-1],
        "replays": len(times),
        "us_sustained": None,
        "sm_mhz_sustained": None,
        "watts_sustained": None,
        "tflops": case.flops / us * 1e-6,
        "gbps": case.bytes / us * 1e-3,
        "ideal_us": case.ideal_us,
        "outputs_equal": 0,
        "outputs_sampled": 0,
        "peers": {},
    }


def rows_band(name):
    """Which of the bands of rows per expert a case is in: 16, 64, 256 or more."""
    mean = int(next(part for part in name.split("/") if part[0] == "M" and part[1:].isdigit())[1:])
    return sum(mean > limit for limit in (16, 64, 256))


def add_absent(record, table):
    """Adds the peers of an older table that could not run here, scaled by the first peer that was measured in both runs."""
    for old in table["operations"]:
        here = next((entry for entry in record["meta"]["peers"] if entry["op"] == old["op"]), None)
        if here is None:
            continue
        measured = [peer["name"] for peer in here["peers"]]
        absent = [peer for peer in old["peers"] if peer["name"] not in measured]
        versions = {peer["name"]: peer["version"] for peer in here["peers"]}
        anchors = [peer["name"] for peer in old["peers"] if short(versions.get(peer["name"])) == short(peer["version"])]
        # A library's kernel is the same code in both runs; those of benches/peers may have changed since. 8-bit ones keep
        # the chip as busy as the absent peers do.
        anchors.sort(key=lambda name: (not name.startswith("torch_grouped"), name == "torch_grouped_bf16"))
        at = [peer["name"] for peer in old["peers"]]
        cases = [case for case in record["cases"] if case["op"] == old["op"] and case["case"] in old["cases"]]
        for anchor in anchors:
            changes = change_by_band(cases, old, at, anchor)
            if changes:
                break
        else:
            continue
        for case in cases:
            change = changes.get(rows_band(case["case"]))
            for peer in absent if change else []:
                then = old["cases"][case["case"]][at.index(peer["name"])]
                if then:
                    case["peers"][peer["name"]] = {"us": then * change, "scaled_by": anchor}
        here["peers"] += absent


def change_by_band(cases, old, at, anchor):
    """By band, how much slower a peer became since an older table: the geometric mean."""
    logs = {}
    for case in cases:
        then = old["cases"][case["case"]][at.index(anchor)]
        now = case["peers"].get(anchor)
        if then and now:
            logs.setdefault(rows_band(case["case"]), []).append(math.log(now["us"] / then))
    return {band: math.exp(sum(of) / len(of)) for band, of in logs.items()}


def short(version):
    """`PyTorch 2.11.0+cu130` and `PyTorch 2.11, CUDA 13` become `PyTorch 2.11`."""
    if version is None:
        return ""
    name, _, digits = version.split(",")[0].partition(" ")
    return name + " " + ".".join(digits.split(".")[:2])


def write(record, path):
    record["cases"].sort(key=lambda case: (case["op"], case["case"]))
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(record, file, indent=2)
        file.write("\n")
    os.replace(path + ".new", path)
