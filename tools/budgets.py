"""Size budgets of the code base: prints a table of what there is, and fails on what is over."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("agency", "pipelines", "tenants", "tools")
FUNCTION_MAX, FUNCTION_MEDIAN, FUNCTION_P90 = 50, 8, 30
MODULE_MAX, MODULE_WANTED = 500, 300
PACKAGE_MAX = {"models": 24, "commands": 24}  # Django looks for commands in this one folder only.
PACKAGE_DEFAULT_MAX = 12
TEMPLATE_MAX, PARTIAL_MAX = 120, 40
EXEMPT = ("migrations", "vendor", "__pycache__")


@dataclass(frozen=True)
class Size:
    """Something measured: `place` is a path, or path:line of a function."""

    place: str
    size: int
    limit: int

    @property
    def is_over(self) -> bool:
        return self.size > self.limit


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not set(EXEMPT) & set(path.relative_to(ROOT).parts):
                yield path


def function_sizes(path: Path) -> Iterator[Size]:
    """Lines from `def` to the last, docstring included; a nested function counts in its parent too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield Size(place, (node.end_lineno or node.lineno) - node.lineno + 1, FUNCTION_MAX)


def lines(path: Path, limit: int) -> Size:
    return Size(str(path.relative_to(ROOT)), len(path.read_text().splitlines()), limit)


def package_sizes(paths: Iterable[Path]) -> Iterator[Size]:
    """Modules beside a package's `__init__`; its sub-packages count for themselves."""
    counts: dict[Path, int] = {}
    for path in paths:
        if path.name not in ("__init__.py", "__main__.py"):
            counts[path.parent] = counts.get(path.parent, 0) + 1
    for folder, count in sorted(counts.items()):
        yield Size(str(folder.relative_to(ROOT)), count, PACKAGE_MAX.get(folder.name, PACKAGE_DEFAULT_MAX))


def template_sizes() -> Iterator[Size]:
    for path in sorted((ROOT / "templates").rglob("*.html")):
        yield lines(path, PARTIAL_MAX if path.name.startswith("_") else TEMPLATE_MAX)


def spread(name: str, sizes: list[Size], limits: str) -> str:
    values = [row.size for row in sizes] or [0]
    p90 = quantiles(values, n=10)[-1] if len(values) > 1 else values[0]
    return f"{name:22}{len(sizes):7}{median(values):9.0f}{p90:8.0f}{max(values):8}   {limits}"


def shape_faults(functions: list[Size]) -> list[str]:
    """The two budgets that the product's functions keep as a whole."""
    values = sorted(row.size for row in functions)
    if len(values) < 2:
        return []
    middle, tail = median(values), quantiles(values, n=10)[-1]
    faults = []
    if middle > FUNCTION_MEDIAN:
        faults.append(f"median function: {middle:.0f} lines, limit {FUNCTION_MEDIAN}")
    if tail > FUNCTION_P90:
        faults.append(f"90th percentile function: {tail:.0f} lines, limit {FUNCTION_P90}")
    return faults


def main() -> int:
    code, tests = list(sources(*PRODUCT)), list(sources("tests"))
    functions = [size for path in code for size in function_sizes(path)]
    test_functions = [size for path in tests for size in function_sizes(path)]
    modules = [lines(path, MODULE_MAX) for path in code + tests]
    packages, templates = list(package_sizes(code)), list(template_sizes())
    print(f"{'':22}{'count':>7}{'median':>9}{'p90':>8}{'max':>8}   limits")
    print(spread("functions (lines)", functions, "median <= 8, p90 <= 30, max <= 50"))
    print(spread("test functions", test_functions, "max <= 50"))
    print(spread("modules (lines)", modules, f"wanted <= {MODULE_WANTED}, max <= {MODULE_MAX}"))
    print(spread("packages (modules)", packages, f"max <= {PACKAGE_DEFAULT_MAX} (models <= {PACKAGE_MAX['models']})"))
    print(spread("templates (lines)", templates, f"max <= {TEMPLATE_MAX}, partials <= {PARTIAL_MAX}"))
    over = [row for row in [*functions, *test_functions, *modules, *packages, *templates] if row.is_over]
    faults = [f"{row.place}: {row.size}, limit {row.limit}" for row in over] + shape_faults(functions)
    print(*(f"OVER BUDGET  {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
