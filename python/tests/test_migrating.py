"""The Python of the migration guides: names and arguments without PyTorch, numbers with it."""

import ast
import inspect
import os
import pathlib
import re
import unittest

import expert_gemm
from expert_gemm import sgl

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ("docs/migrating-from-deepgemm.md", "docs/migrating-from-sgl-kernel.md", "python/README.md")


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)


class Names(unittest.TestCase):
    def test_every_block_is_python_and_names_what_there_is(self):
        for page in PAGES:
            self.assertTrue(blocks(page), page)
            for block in blocks(page):
                # An ellipsis in an import list stands for more names.
                tree = ast.parse(re.sub(r", \.\.\.$", "", block, flags=re.M))
                for node in ast.walk(tree):
                    self.check(node)

    def check(self, node):
        if isinstance(node, ast.ImportFrom) and node.module == "expert_gemm.sgl":
            for name in node.names:
                self.assertTrue(callable(getattr(sgl, name.name)), name.name)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "expert_gemm":
            function = getattr(expert_gemm, node.func.attr)
            keywords = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(function).bind(*node.args, **keywords)


class DeepGemm(unittest.TestCase):
    """The functions of the guide on the CPU, or on a GPU if there is one, against PyTorch's own product."""

    def setUp(self):
        try:
            import torch
        except ImportError as error:
            if os.environ.get("REQUIRE_TORCH") == "1":
                raise
            self.skipTest(f"PyTorch: {error}")
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.guide = {}
        for block in blocks(PAGES[0]):
            exec(block, self.guide)
        torch.manual_seed(1)
        self.n, self.k = 256, 384
        self.b = self.random(3, self.n, self.k).to(torch.float8_e4m3fn)
        self.sfb = self.random(3, self.n // 128, self.k // 128).abs() + 0.5

    def random(self, *shape):
        return self.torch.randn(shape, device=self.device)

    def columns_first(self, scales):
        """The same numbers, stored column by column."""
        stored = scales.transpose(-1, -2).contiguous().transpose(-1, -2)
        self.assertFalse(stored.is_contiguous())
        return stored

    def expected(self, a, sfa, expert):
        wide = lambda scales, dim: scales.double().repeat_interleave(128, dim)
        return (a.double() * wide(sfa, 1)) @ (self.b[expert].double() * wide(wide(self.sfb[expert], 0), 1)).T

    def compare(self, got, a, sfa, expert):
        expected = self.expected(a, sfa, expert)
        error = (got.double() - expected).abs().max() / expected.abs().max()
        self.assertLess(error.item(), 2**-7)

    def test_contiguous(self):
        torch = self.torch
        m_indices = torch.full((384,), -1, dtype=torch.int32, device=self.device)
        m_indices[:130], m_indices[256:261] = 0, 2
        a = self.random(384, self.k).to(torch.float8_e4m3fn)
        sfa = self.columns_first(self.random(384, self.k // 128).abs() + 0.5)
        out = torch.full((384, self.n), 7.0, dtype=torch.bfloat16, device=self.device)
        self.guide["contiguous"](a, sfa, self.b, self.sfb, out, m_indices)
        for rows, expert in ((slice(0, 130), 0), (slice(256, 261), 2)):
            self.compare(out[rows], a[rows], sfa[rows], expert)
        self.assertTrue((out[130:256] == 7).all() and (out[261:] == 7).all())

    def test_masked(self):
        torch = self.torch
        masked_m = torch.tensor([5, 0, 32], dtype=torch.int32, device=self.device)
        a = self.random(3, 32, self.k).to(torch.float8_e4m3fn)
        sfa = self.columns_first(self.random(3, 32, self.k // 128).abs() + 0.5)
        out = torch.full((3, 32, self.n), 7.0, dtype=torch.bfloat16, device=self.device)
        self.guide["masked"](a, sfa, self.b, self.sfb, out, masked_m, 16)
        for expert, m in enumerate(masked_m.tolist()):
            if m:
                self.compare(out[expert, :m], a[expert, :m], sfa[expert, :m], expert)
            self.assertTrue((out[expert, m:] == 7).all())


if __name__ == "__main__":
    unittest.main()
