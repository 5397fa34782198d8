"""PyTorch's own tensors, its compiler and its graphs. Needs PyTorch; where it is missing the tests say so, and
REQUIRE_TORCH=1 makes that an error. With a GPU they run on it too, and REQUIRE_GPU=1 makes its absence an error."""

import os
import threading
import unittest
from pathlib import Path

try:
    import torch
except ImportError as error:
    if os.environ.get("REQUIRE_TORCH") == "1":
        raise
    raise unittest.SkipTest(f"PyTorch: {error}")

import expert_gemm
from expert_gemm import sgl

HAS_GPU = torch.cuda.is_available()
if os.environ.get("REQUIRE_GPU") == "1" and not HAS_GPU:
    raise RuntimeError("REQUIRE_GPU=1, but PyTorch sees no GPU")
DEVICES = ["cpu"] + ["cuda"] * HAS_GPU

N, K, SIZES = 256, 384, (5, 0, 2, 70)
T, E = sum(SIZES), len(SIZES)


def tables(device, sizes, n=N, k=K):
    """Problem sizes, row offsets and scale-row offsets: the last two with the total at the end, as callers hold them."""
    offsets, scale_offsets = [0], [0]
    for m in sizes:
        offsets.append(offsets[-1] + m)
        scale_offsets.append(scale_offsets[-1] + (m + 127) // 128 * 128)
    i32 = {"dtype": torch.int32, "device": device}
    return (
        torch.tensor([[m, n, k] for m in sizes], **i32),
        torch.tensor(offsets, **i32),
        torch.tensor(scale_offsets, **i32),
    )


def fp8_call(device, out=torch.bfloat16, seed=0):
    """The arguments of an FP8 call, and the result that is expected."""
    draw = torch.Generator(device).manual_seed(seed)
    normal = lambda *shape: torch.randn(shape, generator=draw, device=device)
    a, b = normal(T, K).to(torch.float8_e4m3fn), normal(E, N, K).to(torch.float8_e4m3fn)
    sa, sb = normal(T, K // 128).abs() + 0.5, normal(E, N // 128, K // 128).abs() + 0.5
    sizes, offsets, _ = tables(device, SIZES)
    wide = lambda scales, dim: scales.repeat_interleave(128, dim)
    expected = torch.zeros(T, N, dtype=torch.float64, device=device)
    row = 0
    for expert, m in enumerate(SIZES):
        left = a[row : row + m].double() * wide(sa[row : row + m], 1)
        expected[row : row + m] = left @ (b[expert].double() * wide(wide(sb[expert], 0), 1)).T
        row += m
    stride = torch.full((E,), K, dtype=torch.int64, device=device)
    arguments = [
        torch.zeros(T, N, dtype=out, device=device),
        a,
        b.transpose(1, 2),
        sa,
        sb.transpose(1, 2),
        stride,
        stride,
        torch.full_like(stride, N),
        sizes,
        offsets[:-1],
        torch.empty(90_000, dtype=torch.uint8, device=device),
    ]
    return arguments, expected


class OnTorchTensors(unittest.TestCase):
    def near(self, output, expected, message=None):
        """One rounding to bf16, and sums that keep 14 bits, as Hopper's tensor core does."""
        error = (output.double() - expected).norm() / expected.norm()
        self.assertLess(error.item(), 4e-3, message)

    def test_fp8(self):
        for device in DEVICES:
            for out in (torch.bfloat16, torch.float16):
                arguments, expected = fp8_call(device, out)
                self.assertIsNone(sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments))
                self.near(arguments[0], expected, device)

    def test_the_offsets_with_their_total_are_refused(self):
        for device in DEVICES:
            arguments, _ = fp8_call(device)
            arguments[9] = tables(device, SIZES)[1]
            with self.assertRaisesRegex(ValueError, "without the total at the end"):
                sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)

    def test_mxfp8(self):
        for device in DEVICES:
            sizes, offsets, scale_offsets = tables(device, SIZES)
            scale_rows = expert_gemm.max_scale_rows(T, E)
            x = torch.randn(T, K, device=device).bfloat16()
            w = torch.randn(E, N, K, device=device).bfloat16()
            codes = torch.empty(T, K, dtype=torch.float8_e4m3fn, device=device)
            scales = torch.zeros(scale_rows, K // 32, dtype=torch.uint8, device=device)
            sgl.es_sm100_mxfp8_blockscaled_grouped_quant(
                x, sizes, offsets[:-1], scale_offsets[:-1], codes, scales
            )
            # Weights are quantised by the same operation: each expert has N rows.
            of_w, starts, _ = tables(device, [N] * E)
            w_codes = torch.empty(E, N, K, dtype=torch.float8_e4m3fn, device=device)
            w_scales = torch.zeros(E, N, K // 32, dtype=torch.uint8, device=device)
            flat = (w.view(E * N, K), of_w, starts[:-1], starts[:-1], w_codes.view(E * N, K))
            sgl.es_sm100_mxfp8_blockscaled_grouped_quant(*flat, w_scales.view(E * N, K // 32))
            output = torch.zeros(T, N, dtype=torch.bfloat16, device=device)
            sgl.es_sm100_mxfp8_blockscaled_grouped_mm(
                output, codes, w_codes.transpose(1, 2), scales, w_scales.transpose(1, 2),
                sizes, offsets[:-1], scale_offsets[:-1],
            )
            row = 0
            expected = torch.zeros(T, N, dtype=torch.float64, device=device)
            for expert, m in enumerate(SIZES):
                expected[row : row + m] = x[row : row + m].double() @ w[expert].double().T
                row += m
            # Two quantisations to 3 bits of mantissa.
            error = (output.double() - expected).norm() / expected.norm()
            self.assertLess(error.item(), 0.05, device)

    def test_threads_may_call_at_once(self):
        calls = [fp8_call("cpu", seed=seed) for seed in range(4)]
        threads = [
            threading.Thread(target=sgl.es_fp8_blockwise_scaled_grouped_mm, args=arguments)
            for arguments, _ in calls
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for arguments, expected in calls:
            self.near(arguments[0], expected)


class Readme(unittest.TestCase):
    def test_its_example_is_as_close_as_8_bits_can_be(self):
        text = (Path(__file__).parent.parent / "README.md").read_text()
        blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
        [example] = [block for block in blocks if "import torch" in block]
        names = {}
        exec(compile(example, "README.md", "exec"), names)
        self.assertTrue(0.01 < names["error"] < 0.06, names["error"])


class UnderTorchOps(unittest.TestCase):
    near = OnTorchTensors.near

    @classmethod
    def setUpClass(cls):
        expert_gemm.register_torch_ops("expert_gemm_tests")
        expert_gemm.register_torch_ops("expert_gemm_tests")
        cls.ops = torch.ops.expert_gemm_tests

    def test_the_schemas_say_what_is_written(self):
        written = {
            "es_fp8_blockwise_scaled_grouped_mm": ["output"],
            "es_sm100_mxfp8_blockscaled_grouped_mm": ["d"],
            "es_sm100_mxfp8_blockscaled_grouped_quant": ["quant_output", "scale_factor"],
        }
        for name, arguments in written.items():
            schema = getattr(self.ops, name).default._schema
            marked = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
            self.assertEqual((marked, list(schema.returns)), (arguments, []), name)

    def test_pytorch_finds_no_fault_in_the_registration(self):
        for device in DEVICES:
            arguments, _ = fp8_call(device)
            name = self.ops.es_fp8_blockwise_scaled_grouped_mm.default
            # Its test of the schema multiplies float8, which PyTorch cannot.
            torch.library.opcheck(name, tuple(arguments), test_utils="test_faketensor")

    def test_the_compiler_keeps_the_write(self):
        # A backend that generates no code and needs no compiler: ours are the traced kernels and the marks of what is written.
        for device in DEVICES:
            arguments, expected = fp8_call(device)
            output = arguments[0]

            def doubled(*arguments):
                self.ops.es_fp8_blockwise_scaled_grouped_mm(*arguments)
                return arguments[0] * 2

            result = torch.compile(doubled, backend="aot_eager", fullgraph=True)(*arguments)
            self.near(output, expected, device)
            self.near(result, 2 * expected, device)

    def test_another_registration_is_refused(self):
        other = torch.library.Library("expert_gemm_taken", "FRAGMENT")
        other.define("es_sm100_mxfp8_blockscaled_grouped_quant(Tensor x) -> ()")
        with self.assertRaisesRegex(RuntimeError, "registered by another library"):
            expert_gemm.register_torch_ops("expert_gemm_taken")


@unittest.skipUnless(HAS_GPU, "PyTorch sees no GPU")
class OnAGpu(unittest.TestCase):
    near = OnTorchTensors.near

    def test_a_graph_replays_with_other_routing(self):
        arguments, expected = fp8_call("cuda")
        # Loads the kernel, which a capture must not.
        sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)
        arguments[0].zero_()
        graph.replay()
        self.near(arguments[0], expected)
        arguments[8][:, 0] = 0
        arguments[0].zero_()
        graph.replay()
        self.assertEqual(arguments[0].abs().max().item(), 0)

    def test_another_stream_is_followed(self):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            arguments, expected = fp8_call("cuda")
            sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)
        stream.synchronize()
        self.near(arguments[0], expected)

    def test_wrong_tables_are_found_when_asked(self):
        arguments, _ = fp8_call("cuda")
        arguments[9] = arguments[9] + T
        sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)
        self.assertEqual(arguments[0].abs().max().item(), 0)
        expert_gemm.check_tables(True)
        try:
            with self.assertRaisesRegex(ValueError, "reaches past the last packed row"):
                sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)
        finally:
            expert_gemm.check_tables(False)

    def test_a_tensor_of_the_host_is_refused(self):
        arguments, _ = fp8_call("cuda")
        arguments[3] = arguments[3].cpu()
        with self.assertRaisesRegex(ValueError, "is on cpu, but tensor 0 is on cuda"):
            sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)

    def test_the_gpu_agrees_with_the_cpu(self):
        arguments, _ = fp8_call("cuda")
        sgl.es_fp8_blockwise_scaled_grouped_mm(*arguments)
        on_cpu = [argument.cpu() for argument in arguments]
        # `cpu` makes the views contiguous in their own order.
        on_cpu[2], on_cpu[4] = (arguments[i].transpose(1, 2).cpu().transpose(1, 2) for i in (2, 4))
        sgl.es_fp8_blockwise_scaled_grouped_mm(*on_cpu)
        self.near(arguments[0].cpu(), on_cpu[0].double())


if __name__ == "__main__":
    unittest.main()
