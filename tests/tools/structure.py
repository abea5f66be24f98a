"""Measure the structure of a checkout: parts, layers, imports between parts, circles, sizes, class names.

    python tests/tools/structure.py [CHECKOUT]

A part of a package is a folder or a module at its top; ``__init__`` and ``__main__`` are none. An import goes upward
where its part pair lies in a circle of parts and runs against the order with the fewest such imports.
"""

from __future__ import annotations

import ast
import itertools
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGES = ("data_schemas", "shared", "preprocess", "trainer")
Graph = Mapping[str, set[str]]


def modules(root: Path, package: str) -> dict[str, Path]:
    """Find the modules of a package by dotted name."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: Iterable[str]) -> set[str]:
    """List the modules of this program that a module imports, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("iscc_lidar."):
            module = node.module.removeprefix("iscc_lidar.")
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                found.add(whole if whole in known else module)
    return found


def circles(graph: Graph) -> list[set[str]]:
    """Return the strongly connected components of more than one node."""
    reach = {node: _reachable(graph, node) for node in graph}
    found: list[set[str]] = []
    for node in sorted(graph):
        together = {other for other in reach[node] if node in reach.get(other, set())}
        if len(together) > 1 and together not in found:
            found.append(together)
    return found


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for after in graph.get(waiting.pop(), ()):
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return seen


def layers(graph: Graph) -> int:
    """Return the number of layers: nodes on the longest path, a circle counted as one node."""
    of = {node: frozenset({node}) for node in graph}
    for circle in circles(graph):
        of |= dict.fromkeys(circle, frozenset(circle))
    after: dict[frozenset[str], set[frozenset[str]]] = defaultdict(set)
    for node, others in graph.items():
        after[of[node]] |= {of[other] for other in others if of[other] != of[node]}
    depth: dict[frozenset[str], int] = {}

    def measure(node: frozenset[str]) -> int:
        if node not in depth:
            depth[node] = 1 + max((measure(other) for other in after[node]), default=0)
        return depth[node]

    return max(map(measure, list(after)), default=0)


def upward(pairs: Mapping[tuple[str, str], int], graph: Graph) -> int:
    """Return the number of part pairs that run upward, see the module's docstring."""
    total = 0
    for circle in circles(graph):
        inside = [pair for pair in pairs if set(pair) <= circle]
        orders = itertools.permutations(sorted(circle)) if len(circle) <= 8 else [tuple(sorted(circle))]
        total += min(sum(order.index(a) > order.index(b) for a, b in inside) for order in orders)
    return total


def describe(root: Path, package: str) -> str:
    """Describe the structure of a package as a row of a table."""
    found = modules(root, package)
    graph = {name: {i for i in imports(path, found) if i in found and i != name} for name, path in found.items()}
    counted = {name: parts[1] for name in found if len(parts := name.split(".")) > 1 and parts[1] != "__main__"}
    pairs: Counter[tuple[str, str]] = Counter()
    part_graph: dict[str, set[str]] = {part: set() for part in counted.values()}
    for name, others in graph.items():
        for other in others:
            if name in counted and other in counted and counted[name] != counted[other]:
                pairs[counted[name], counted[other]] += 1
                part_graph[counted[name]].add(counted[other])
    lines = sum(path.read_text(encoding="utf-8").count("\n") for path in found.values())
    return (
        f"| {package} | {len(part_graph)} | {layers(part_graph)} | {len(pairs)} | {sum(pairs.values())} "
        f"| {upward(pairs, part_graph)} | {len(circles(part_graph))} | {len(circles(graph))} | {len(found)} | {lines} |"
    )


def main() -> None:
    """Print the tables of a checkout."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
    print(
        "| package | parts | layers | part pairs | imports between parts | upward | part circles | module circles "
        "| modules | lines |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for package in PACKAGES:
        print(describe(root, package))
    sizes, classes = [], defaultdict(list)
    files = [path for package in PACKAGES for path in modules(root, package).values()]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                sizes.append((node.end_lineno or 0) - node.lineno + 1)
            elif isinstance(node, ast.ClassDef):
                classes[node.name].append(path.relative_to(root).as_posix())
    twice = {name: where for name, where in classes.items() if len(where) > 1}
    lengths = sorted(path.read_text(encoding="utf-8").count("\n") for path in files)
    print(
        f"functions: {len(sizes)}, lines median {statistics.median(sizes):g}, 90th percentile "
        f"{sorted(sizes)[int(0.9 * len(sizes))]}, longest {max(sizes)}"
    )
    print(f"files: {len(lengths)}, lines median {statistics.median(lengths):g}, longest {lengths[-1]}")
    print(f"class names defined more than once: {len(twice)}")
    for name, where in sorted(twice.items()):
        print(f"  {name}: {', '.join(where)}")


if __name__ == "__main__":
    main()
