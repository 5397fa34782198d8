"""Builds libexpert_gemm with cargo and puts it into the wheel.

EXPERT_GEMM_LIB names a library that is already built, for machines without cargo.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent.parent
NAME = "libexpert_gemm.so"


def library() -> Path:
    """The library: the one that the environment names, or a new one."""
    given = os.environ.get("EXPERT_GEMM_LIB")
    if given:
        return Path(given)
    command = ["cargo", "build", "--release", "--package", "expert-gemm-capi", "--message-format=json-render-diagnostics"]
    try:
        built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise SystemExit("cargo was not found: install Rust with rustup, or set EXPERT_GEMM_LIB to a built " + NAME)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    files = [Path(file) for message in messages for file in message.get("filenames", ())]
    return next(file for file in files if file.name == NAME)


def strip(file: Path) -> None:
    """Leaves out debug information, where there is a tool for it: 14 MB become 3."""
    tool = shutil.which("strip")
    if tool:
        subprocess.run([tool, "--strip-debug", str(file)], check=True)


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        target = Path(self.build_lib) / "expert_gemm" / NAME
        shutil.copyfile(library(), target)
        strip(target)


class WheelOfPlatform(bdist_wheel):
    """A wheel for one platform and every Python: the library knows nothing of Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


setup(distclass=WithLibrary, cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": WheelOfPlatform})
