"""The operations on the CPU, without PyTorch: numbers, views that are taken, and views that are not."""

import random
import unittest

import expert_gemm
from expert_gemm import sgl

from . import fake
from .fake import BF16, E4M3, E8M0, F16, F32, F64, I32, I64, U8, Tensor

N, K = 256, 128
SIZES = (2, 0, 1)
T, E = sum(SIZES), len(SIZES)
OWNERS = [0, 0, 2]


class World:
    """One FP8 problem with random numbers, in the order of sgl_kernel's arguments."""

    def __init__(self, out=BF16, n=N, k=K, seed=1):
        draw = random.Random(seed)
        # No NaN: 0x7f and 0xff.
        codes = lambda count: [draw.choice([0, 128]) + draw.randrange(127) for _ in range(count)]
        self.n, self.k = n, k
        self.output = Tensor(out, (T, n))
        self.a = Tensor(E4M3, (T, k), codes(T * k))
        self.weights = Tensor(E4M3, (E, n, k), codes(E * n * k))
        self.scales_a = Tensor(F32, (T, k // 128), [draw.uniform(0.5, 2) for _ in range(T * k // 128)])
        count = E * (n // 128) * (k // 128)
        self.scales = Tensor(F32, (E, n // 128, k // 128), [draw.uniform(1e-4, 1e-3) for _ in range(count)])
        self.b = self.weights.transpose(1, 2)
        self.scales_b = self.scales.transpose(1, 2)
        self.stride_a = self.stride_b = self.stride_d = self.workspace = None
        self.problem_sizes = Tensor(I32, (E, 3), [x for m in SIZES for x in (m, n, k)])
        self.expert_offsets = Tensor(I32, (E,), [0, 2, 2])

    def run(self):
        order = sgl.es_fp8_blockwise_scaled_grouped_mm.__code__.co_varnames[:11]
        return sgl.es_fp8_blockwise_scaled_grouped_mm(*(getattr(self, name) for name in order))

    def worst(self):
        """The largest error of an output, as a share of the sum of magnitudes."""
        a, b, out = self.a.numbers(), self.weights.numbers(), self.output.numbers()
        sa, sb = self.scales_a.numbers(), self.scales.numbers()
        decoded = [fake.e4m3(byte) for byte in range(256)]
        n, k, blocks = self.n, self.k, self.k // 128
        worst = 0.0
        for row, expert in enumerate(OWNERS):
            for column in range(0, n, 37):
                terms = [
                    decoded[a[row * k + i]]
                    * decoded[b[(expert * n + column) * k + i]]
                    * sa[row * blocks + i // 128]
                    * sb[(expert * (n // 128) + column // 128) * blocks + i // 128]
                    for i in range(k)
                ]
                error = abs(out[row * n + column] - sum(terms))
                worst = max(worst, error / sum(map(abs, terms)))
        return worst


class Fp8GroupedMm(unittest.TestCase):
    def refused(self, exception, sentence, world):
        with self.assertRaisesRegex(exception, sentence):
            world.run()
        self.assertEqual(set(world.output.numbers()), {0})

    def test_the_result_is_the_product(self):
        for out in (BF16, F16):
            world = World(out)
            self.assertIsNone(world.run())
            self.assertNotEqual(set(world.output.numbers()), {0})
            # One rounding to 8 bits, and sums of f32.
            self.assertLess(world.worst(), 2**-8)

    def test_again_with_other_memory(self):
        for seed in range(3):
            world = World(seed=seed)
            world.run()
            self.assertLess(world.worst(), 2**-8)

    def test_what_is_redundant_may_be_anything(self):
        world = World()
        world.stride_a = world.stride_b = Tensor(I64, (E,), K)
        world.stride_d = "anything"
        world.workspace = Tensor(U8, (1,))
        world.run()
        self.assertLess(world.worst(), 2**-8)

    def test_weights_are_taken_as_they_lie_too(self):
        world = World()
        world.b, world.scales_b = world.weights, world.scales
        world.run()
        self.assertLess(world.worst(), 2**-8)

    def test_the_output_may_have_more_rows(self):
        world = World()
        world.output = Tensor(BF16, (T + 2, N))
        world.run()
        self.assertLess(world.worst(), 2**-8)
        self.assertEqual(set(world.output.numbers()[T * N :]), {0})

    def test_weights_whose_k_is_not_contiguous_are_refused(self):
        world = World()
        world.b = Tensor(E4M3, (E, K, N), 0x38)
        self.refused(ValueError, "`b` is a contiguous .* whose K is not contiguous", world)

    def test_square_weights_are_taken_only_as_the_view(self):
        world = World(n=256, k=256)
        world.run()
        self.assertLess(world.worst(), 2**-8)
        world = World(n=256, k=256)
        world.b = world.weights
        self.refused(ValueError, "`b` is a contiguous .* could be", world)
        world = World(n=256, k=256)
        world.scales_b = world.scales
        self.refused(ValueError, "`scales_b` is a contiguous .* could be", world)

    def test_other_layouts_are_refused(self):
        world = World()
        world.a = Tensor(E4M3, (K, T), 0x38).transpose(0, 1)
        self.refused(ValueError, "`a` has a stride of", world)
        world = World()
        world.scales_a = Tensor(F32, (2, T), 1.0).transpose(0, 1)
        self.refused(ValueError, "dimension 1 of `scales_a` is 2, but", world)
        world = World(k=256)
        world.scales_a = Tensor(F32, (2, T), 1.0).transpose(0, 1)
        self.refused(ValueError, "`scales_a` has a stride of", world)
        world = World()
        world.a = Tensor(E4M3, (T + 1, K), 0x38).moved(1)
        world.a.shape = (T, K)
        self.refused(ValueError, "`a` is at .* aligned to 16", world)

    def test_other_types_are_refused(self):
        for name, dtype in (
            ("a", U8),
            ("a", F64),
            ("scales_a", BF16),
            ("problem_sizes", I64),
            ("expert_offsets", I64),
            ("output", F32),
        ):
            world = World()
            setattr(world, name, Tensor(dtype, getattr(world, name).shape))
            with self.assertRaisesRegex(TypeError, f"fp8_grouped_mm: `{name}`"):
                world.run()
        world = World()
        world.a = [1, 2]
        self.refused(TypeError, "list was passed", world)

    def test_other_shapes_are_refused(self):
        for name, shape, sentence in (
            ("a", (T, 192), "`k` is 192, but it must be a multiple of 128"),
            ("output", (T - 1, N), "`output` has 2 rows, but 3 are needed"),
            ("scales_a", (T - 1, 1), "`scales_a` has 2 rows, but 3 are needed"),
            ("expert_offsets", (E + 1,), "without the total"),
            ("problem_sizes", (E, 4), "dimension 1 of `problem_sizes` is 4"),
            ("a", (T * K,), "`a` has 1 dimensions, but 2 are needed"),
            ("b", (E, 128, 128), "dimension 1 of `b` is 128, but the plan has 256"),
        ):
            world = World()
            setattr(world, name, Tensor(getattr(world, name).dtype, shape))
            self.refused(ValueError, sentence, world)

    def test_another_device_is_refused(self):
        world = World()
        world.a.device = fake.OTHER
        self.refused(ValueError, "tensor 1 is on meta, but tensor 0 is on cpu", world)

    def test_shared_memory_is_refused(self):
        world = World(n=128, k=256)
        world.output = Tensor(BF16, (T, 128))
        world.a._address = world.output._address
        self.refused(ValueError, "`output` shares 768 bytes with `a`", world)

    def test_wrong_tables_are_reported(self):
        world = World()
        world.expert_offsets = Tensor(I32, (E,), [0, 2, 3])
        with self.assertRaisesRegex(ValueError, "the group tables are wrong: a group reaches past"):
            world.run()
        status = Tensor(I32, (1,))
        expert_gemm.fp8_grouped_mm(
            world.output, world.a, world.b, world.scales_a, world.scales_b, world.problem_sizes,
            world.expert_offsets, status=status,
        )
        self.assertEqual(status.numbers(), [4])

    def test_nothing_to_do_is_ordinary(self):
        world = World()
        world.output, world.a, world.scales_a = (
            Tensor(dtype, (0, width)) for dtype, width in ((BF16, N), (E4M3, K), (F32, 1))
        )
        world.problem_sizes = Tensor(I32, (E, 3), [0, N, K] * E)
        self.assertIsNone(world.run())

    def test_fewer_rows_may_be_expected(self):
        for expected_rows in (0, 1, 3):
            world = World()
            expert_gemm.fp8_grouped_mm(
                world.output, world.a, world.b, world.scales_a, world.scales_b, world.problem_sizes,
                world.expert_offsets, expected_rows=expected_rows,
            )
            self.assertLess(world.worst(), 2**-8)
        for expected_rows in (4, -1, 2.0, "3"):
            with self.assertRaisesRegex(ValueError, f"`expected_rows` is {expected_rows!r}, but it must be"):
                expert_gemm.fp8_grouped_mm(
                    world.output, world.a, world.b, world.scales_a, world.scales_b, world.problem_sizes,
                    world.expert_offsets, expected_rows=expected_rows,
                )
        with self.assertRaisesRegex(ValueError, "`mxfp8_grouped_quant` has one kernel"):
            expert_gemm.explain("mxfp8_grouped_quant", expected_rows=3)

    def test_a_plan_is_explained(self):
        w = World()
        text = expert_gemm.explain(
            "fp8_grouped_mm", w.output, w.a, w.b, w.scales_a, w.scales_b, w.problem_sizes, w.expert_offsets
        )
        self.assertIn("rows: 3, experts: 3, n: 256, k: 128", text)
        with self.assertRaisesRegex(ValueError, "`operation` is 'gemm'"):
            expert_gemm.explain("gemm")


class Mxfp8(unittest.TestCase):
    def quantised(self, dtype=U8, **changes):
        """Rows of 3.0, quantised for two experts of 2 rows and 1."""
        scale_rows = expert_gemm.max_scale_rows(3, 2)
        self.assertEqual(scale_rows, 256)
        arguments = {
            "input": Tensor(F16, (3, K), 3.0),
            "problem_sizes": Tensor(I32, (2, 3), [2, N, K, 1, N, K]),
            "expert_offsets": Tensor(I32, (2,), [0, 2]),
            "blockscale_offsets": Tensor(I32, (2,), [0, 128]),
            "quant_output": Tensor(E4M3, (3, K)),
            "scale_factor": Tensor(dtype, (scale_rows, K // 32), 7),
        }
        arguments.update(changes)
        self.assertIsNone(sgl.es_sm100_mxfp8_blockscaled_grouped_quant(**arguments))
        return arguments

    def test_a_layer_of_known_numbers(self):
        for dtype in (U8, E8M0):
            q = self.quantised(dtype)
            # 3 is 384 * 2^-7: the scale byte is 120. Padding rows get 0.
            self.assertEqual(set(q["quant_output"].numbers()), {0x7C})
            scales = q["scale_factor"].numbers()
            self.assertEqual((scales.count(120), scales.count(0)), (3 * 4, 253 * 4))
            output = Tensor(BF16, (3, N))
            b = Tensor(E4M3, (2, N, K), 0x38).transpose(1, 2)
            sfb = Tensor(dtype, (2, N, K // 32), 126)
            for view in (sfb.transpose(1, 2), sfb, Tensor(dtype, (2 * N, K // 32), 126), Tensor(dtype, (2 * N * K // 32,), 126)):
                sgl.es_sm100_mxfp8_blockscaled_grouped_mm(
                    output, q["quant_output"], b, q["scale_factor"], view,
                    q["problem_sizes"], q["expert_offsets"], q["blockscale_offsets"],
                )
                self.assertEqual(set(output.numbers()), {K * 3.0 / 2})

    def test_fewer_rows_may_be_expected(self):
        q = self.quantised()
        output = Tensor(BF16, (3, N))
        tensors = (
            output, q["quant_output"], Tensor(E4M3, (2, N, K), 0x38), q["scale_factor"], Tensor(U8, (2, N, K // 32), 126),
            q["problem_sizes"], q["expert_offsets"], q["blockscale_offsets"],
        )
        expert_gemm.mxfp8_grouped_mm(*tensors, expected_rows=1)
        self.assertEqual(set(output.numbers()), {K * 3.0 / 2})
        with self.assertRaisesRegex(ValueError, "`expected_rows` is 4, but it must be"):
            expert_gemm.mxfp8_grouped_mm(*tensors, expected_rows=4)

    def test_scale_rows_need_not_be_whole_atoms(self):
        q = self.quantised(scale_factor=Tensor(U8, (300, K // 32), 7))
        self.assertEqual(q["scale_factor"].numbers()[256 * 4 :], [7] * 44 * 4)

    def test_what_is_wrong_is_refused(self):
        for exception, sentence, changes in (
            (ValueError, "`scale_factor` has gaps", {"scale_factor": self.with_gaps()}),
            (ValueError, "no dimension is K / 32 = 4", {"scale_factor": Tensor(U8, (256, 8))}),
            (TypeError, "`input` is to be f32", {"input": Tensor(F32, (3, K))}),
            (TypeError, "`blockscale_offsets` holds torch.int64", {"blockscale_offsets": Tensor(I64, (2,))}),
            (ValueError, "`quant_output` has 2 rows", {"quant_output": Tensor(E4M3, (2, K))}),
            (ValueError, "scale rows? .*past|past the last scale row", {"blockscale_offsets": Tensor(I32, (2,), [0, 256])}),
            (ValueError, "multiple of 128", {"blockscale_offsets": Tensor(I32, (2,), [0, 100])}),
        ):
            with self.subTest(sentence), self.assertRaisesRegex(exception, sentence):
                self.quantised(**changes)
        with self.assertRaisesRegex(ValueError, "`rule` is 'nearest'"):
            expert_gemm.mxfp8_grouped_quant(*[None] * 6, rule="nearest")

    @staticmethod
    def with_gaps():
        tensor = Tensor(U8, (256, 8))
        tensor.shape = (256, 4)
        return tensor


if __name__ == "__main__":
    unittest.main()
