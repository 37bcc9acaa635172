"""The benchmark's result as tables for a person; the JSON holds the same and every single round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

SIDES = {
    "datamask": "datamask: morph + render + HOG + MMOD + ResNet",
    "usual_loop": "usual loop: trimesh + pyrender + dlib",
    "networks_alone": "datamask's HOG + MMOD + ResNet on ready images",
}
RATIOS = {
    "datamask_to_usual_loop": "datamask / usual loop",
    "datamask_to_networks_alone": "datamask / its networks alone",
}
WANTED = {"datamask_to_usual_loop": 20.0, "datamask_to_networks_alone": 0.85}
WANTED_OF_EVERY_MODEL = 0.75
MEMORY_LIMIT_MB = 2000.0


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables of one result."""
    _speed(result, console)
    _stages(result, console)
    usual = result["usual_loop"]
    if "skipped" in usual:
        console.print(f"usual loop skipped: {usual['skipped']}", style="yellow")
    if not result["checks"]["networks_alone_gave_the_same_scores"]:
        console.print(
            "the networks alone gave other scores than the whole loop: not the same work", style="red"
        )
    memory = result["memory"]
    if memory is not None:
        console.print(
            f"peak memory of [bold]{memory['command']}[/]: {memory['peak_mb']:,.0f} MB "
            f"(wanted: under {MEMORY_LIMIT_MB:,.0f}), {memory['seconds']:.0f} s"
        )


def _speed(result: Mapping[str, Any], console: Console) -> None:
    settings, facts = result["settings"], result["machine"]
    title = f"views per second, {facts['cpu']}, {facts['threads']} threads, {settings['rounds']} rounds"
    table = Table("", "median", "least", "most", title=title, title_justify="left")
    for name, label in SIDES.items():
        if (speed := result["views_per_second"][name]) is not None:
            table.add_row(label, *(f"{speed[key]:.1f}" for key in ("median", "min", "max")))
    table.add_section()
    for name, label in RATIOS.items():
        if (ratio := result["ratios"][name]) is not None:
            numbers = (f"{ratio[key]:.2f}" for key in ("median", "min", "max"))
            table.add_row(f"{label} (wanted: {WANTED[name]:g})", *numbers)
    every = result["every_torch_model"]
    table.add_section()
    for name, label in (("datamask", "whole loop"), ("models_alone", "models alone")):
        speed = every["views_per_second"][name]
        table.add_row(
            f"with all {len(every['models'])} torch models: {label}",
            *(f"{speed[key]:.1f}" for key in ("median", "min", "max")),
        )
    wanted = WANTED_OF_EVERY_MODEL
    numbers = (f"{every['ratio'][key]:.2f}" for key in ("median", "min", "max"))
    table.add_row(f"  whole loop / models alone (wanted: {wanted:g})", *numbers)
    console.print(table)


def _stages(result: Mapping[str, Any], console: Console) -> None:
    table = Table("ms a view", "datamask", "usual loop", "dlib itself", title="where the time goes")
    ours, usual, peers = result["stages_ms"], result["usual_loop"].get("stages_ms", {}), result["dlib_ms"]
    for stage in ours:
        table.add_row(stage, *(_ms(side.get(stage)) for side in (ours, usual, peers)))
    console.print(table)
    console.print(
        "dlib itself is timed on the images and chips that datamask rendered.",
        style="dim",
    )


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
