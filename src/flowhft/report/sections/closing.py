"""The end of the report: choices and their data, definitions, warnings, provenance."""

import json
from typing import Any

from flowhft.metrics.table import METRICS
from flowhft.report import numbers
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, element, folded, join, paragraph, table
from flowhft.report.sections.recording import findings


def choices(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write what was selected at every stage, and which data it could see."""
    recording = evidence.record("recording/recording")
    learn = numbers.duration(recording["learn_seconds"]) if recording.get("learn_seconds") else ""
    unseen = numbers.duration(recording["unseen_seconds"]) if recording.get("unseen_seconds") else ""
    lines: list[tuple[str, str, str]] = []
    if parameters := evidence.record("calibrate/calibration").get("parameters"):
        seen = f"the first {learn} of the recording" if learn else "the recording"
        lines.append(("market", f"{len(parameters)} parameters", seen))
    teachers = evidence.table("demonstrate/teachers")
    if teachers is not None:
        names = ", ".join(teachers.filter("chosen")["expert"].unique(maintain_order=True).to_list())
        lines.append(
            (
                "teachers",
                f"{names}, with their risk aversions",
                "simulated sessions of the training scenarios",
            )
        )
    if evidence.curves:
        lines.append(("networks", ", ".join(evidence.curves), "demonstrations of the teachers in simulation"))
    if adapter := evidence.record("adapt/adapter"):
        units = {
            "scale": "",
            "offset_bid": " ticks",
            "offset_ask": " ticks",
            "skew": " ticks / lot",
            "slope": " ticks / (lot s)",
        }
        written = ", ".join(
            f"{name.replace('_', ' ')} {numbers.significant(adapter[name])}{unit}"
            for name, unit in units.items()
            if numbers.known(adapter.get(name))
        )
        lines.append(("adapter", written, "simulated validation sessions"))
    if evidence.table("evaluate/results") is not None:
        lines.append(
            (
                "judgement in simulation",
                "nothing",
                "simulated test sessions, on seeds that nothing was chosen on",
            )
        )
    if evidence.table("backtest/results") is not None:
        seen = f"the last {unseen} of the recording" if unseen else "the recording"
        lines.append(("judgement on the recording", "nothing", seen))
    if len(lines) < 2:
        return None
    return table(["step", "what was chosen", "on what data"], lines, class_="words")


def definitions(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the table of metrics; nothing where no metric is shown."""
    if evidence.table("evaluate/results") is None and evidence.table("backtest/results") is None:
        return None
    better = {1: "more", -1: "less", 0: "neither"}
    lines = [
        (
            element("span", metric.title, id=f"metric-{metric.name}"),
            numbers.unit_of(metric.name, evidence.currency) or "ratio",
            better[metric.direction],
            metric.definition,
        )
        for metric in METRICS.values()
    ]
    return table(["metric", "unit", "better is", "definition"], lines, class_="words")


def warnings(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write every warning of every stage; nothing where there is none."""
    results: list[dict[str, str]] = []
    of_reading: dict[str, dict[str, str]] = {}  # stages repeat them; they are said once
    for name, record in evidence.records.items():
        stage = name.split("/")[0]
        for item in record.get("warnings") or []:
            if str(item).startswith("recording: "):
                of_reading[item] = {"severity": "warning", "message": item}
            else:
                results.append({"severity": "warning", "message": f"{stage}: {item}"})
    for item in evidence.record("recording/recording").get("findings") or []:
        if item.get("severity") in ("warning", "error"):
            message = f"recording: {item.get('message', '')}"
            of_reading[message] = {**item, "message": message}
    results += of_reading.values()
    return findings(results) if results else None


def provenance(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write what made the results: commands, versions, seeds, parents, and every setting."""
    if not evidence.manifests:
        return None
    lines = [
        _provenance_line(stage or "this run", manifest) for stage, manifest in evidence.manifests.items()
    ]
    head = ["stage", "command", "seed", "version", "commit", "started", "took", "fingerprint"]
    settings = {
        stage or "this run": manifest.get("config", {}) for stage, manifest in evidence.manifests.items()
    }
    first = next(iter(evidence.manifests.values()))
    packages = ", ".join(
        f"{name} {version}" for name, version in (first.get("packages") or {}).items() if version
    )
    machine = ", ".join(f"{name} {value}" for name, value in (first.get("machine") or {}).items())
    return join(
        [
            table(head, lines, class_="words"),
            paragraph(f"Python {first.get('python', '')}; {packages}. Machine: {machine}.", class_="note"),
            folded("Every setting", element("pre", json.dumps(settings, indent=2, ensure_ascii=False))),
        ]
    )


def _provenance_line(stage: str, manifest: dict[str, Any]) -> list[object]:
    commit = str(manifest.get("commit") or "")[:12]
    return [
        stage,
        manifest.get("command", ""),
        manifest.get("seed", ""),
        manifest.get("version", ""),
        element("code", commit) if commit else numbers.NOTHING,
        manifest.get("started", ""),
        numbers.duration(manifest.get("seconds")),
        element("code", manifest.get("fingerprint", "")),
    ]
