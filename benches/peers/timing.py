"""Graph replays timed by events, a round of all contenders at a time, so that drift of clocks meets all of them alike."""

import torch

FLUSH_BYTES = 256 << 20
# Device time that the replays of one contender should take together, and fewest and most of them.
TOGETHER_US = 32_000
REPLAYS = (8, 30)


class Flush:
    """Refills the second-level cache by reading other memory: clean lines, so that no write-back falls into the timed part."""

    def __init__(self):
        self.memory = torch.randn(1024, FLUSH_BYTES // 4096, device="cuda")
        self.sink = torch.empty(1024, device="cuda")

    def __call__(self):
        torch.amax(self.memory, dim=1, out=self.sink)


def capture(call):
    """A graph of one call; `call` has run before, so that nothing is compiled or loaded meanwhile."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    graph.replay()
    torch.cuda.synchronize()
    return graph


def rounds(graphs, flush, count):
    """Microseconds of `count` replays of each graph, in turns."""
    events = {name: [] for name in graphs}
    for _ in range(count):
        for name, graph in graphs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            flush()
            start.record()
            graph.replay()
            end.record()
            events[name].append((start, end))
    torch.cuda.synchronize()
    return {
        name: sorted(start.elapsed_time(end) * 1e3 for start, end in pairs)
        for name, pairs in events.items()
    }


def median(times):
    return times[len(times) // 2]


def measure(graphs, flush):
    """Sorted microseconds of 8 to 30 replays of each graph, in turns."""
    estimate = max(median(times) for times in rounds(graphs, flush, 3).values())
    fewest, most = REPLAYS
    count = int(min(most, max(fewest, TOGETHER_US / (estimate + 90))))
    return rounds(graphs, flush, count)


def warm_up():
    """Keeps the chip busy for a moment: the first timings should not see idle clocks."""
    x = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    for _ in range(300):
        x @ x
    torch.cuda.synchronize()
