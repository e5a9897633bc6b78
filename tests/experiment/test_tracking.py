"""Metrics are always in local files; wandb mirrors them where it is asked to."""

import gzip
import http.server
import json
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from asymreinforce.data import contracts
from asymreinforce.report.write import write_report
from asymreinforce.tracking import track_report, tracker, wandb_runs
from asymreinforce.tracking.protocol import About
from tests.fixtures.commands import Outcome, only, tiny
from tests.fixtures.experiments import small_config
from tests.fixtures.made_up_experiment import make_experiment, sweep

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record


def records_of(log: Path) -> "dict[str, Record]":
    """The last record of each type in wandb's transaction log, by name of the type."""
    return {str(record.WhichOneof("record_type")): record for record in all_records_of(log)}


def all_records_of(log: Path) -> "list[Record]":
    """Every record of wandb's transaction log.

    After seven bytes it is a log of LevelDB: blocks of 32 KiB of records, each with its checksum,
    its length and whether it is whole (1) or the first, middle or last part (2, 3, 4).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, whole = log.read_bytes(), 7, b""
    found: list[Record] = []
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, part = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            found.append(record)
            whole = b""
    return found


def run_of(log: Path) -> tuple[str, str]:
    """The group and the kind of a run; wandb's own process writes the end a moment later."""
    until = time.monotonic() + 60
    while "exit" not in (found := records_of(log)) and time.monotonic() < until:
        time.sleep(0.1)
    return found["run"].run.run_group, found["run"].run.job_type


def test_nothing_but_local_files_by_default(tmp_path: Path) -> None:
    config = small_config(tmp_path, policy="embedded")
    assert config.tracker.name == "none"
    with tracker(config, arm="a") as log:
        log({"step": 1, "loss": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_local_whatever_the_tracker(first_sweep: tuple[Path, Outcome]) -> None:
    (arm, *_) = sorted((first_sweep[0] / "cups/train").iterdir())
    shards = sorted((arm / "metrics").glob("*.parquet"))
    steps = [
        row for path in shards for row in contracts.read_table(path, contracts.METRICS).to_pylist()
    ]
    assert [row["step"] for row in steps] == [0, 1, 2, 3, 4]
    assert steps[0]["kl"] == 0.0
    assert all(row["loss"] is not None for row in steps[1:])


def test_wandb_offline_writes_below_the_experiment(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(swept))
    outcome = tiny("train", swept, "seed=7", "tracker=wandb", "tracker.mode=offline")
    assert outcome.code == 0, outcome.err
    (record,) = (swept / "cups/wandb").rglob("*.wandb")
    assert record.stat().st_size > 1000
    assert run_of(record) == ("cups", "arm")
    assert b"validation_accuracy" in record.read_bytes()
    again = tiny("train", swept, "seed=7", "tracker=none")
    assert "complete" in again.err  # a tracker changes nothing about an arm
    assert only(swept / "cups/rollouts").is_complete()


def test_a_sweep_is_a_group_with_its_summary_figures_and_page_as_one_more_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = make_experiment(tmp_path / "runs" / "small", sweep([-0.3, 0.3]), metric_files=1)
    write_report(directory)
    tracked = {"tracker__name": "wandb", "tracker__mode": "offline"}
    config = small_config(tmp_path / "runs", policy="embedded", **tracked)
    track_report(config)
    records = {log: run_of(log) for log in (directory / "wandb").rglob("*.wandb")}
    assert sorted(records.values()) == [("small", "arm")] * 6 + [("small", "summary")]
    (record,) = (log for log, run in records.items() if run == ("small", "summary"))
    found = record.read_bytes()
    for words in (
        *(b"small summary", b"summary", b"figures/phase-transition", b"report"),
        b"accuracy_by_baseline",
    ):
        assert words in found
    media = {path.name for path in record.parent.rglob("*.*") if "media" in path.parts}
    assert sum(name.endswith(".png") for name in media) == 12
    assert sum(name.startswith("summary") and name.endswith(".json") for name in media) == 1
    assert sum(name.endswith(".html") for name in media) == 1
    table = next(record.parent.rglob("summary*.json")).read_text()
    assert json.loads(table)["columns"][:3] == ["arm", "algorithm", "baseline"]
    assert len(json.loads(table)["data"]) == 6


def test_without_a_tracker_a_report_is_sent_nowhere(tmp_path: Path) -> None:
    track_report(small_config(tmp_path, policy="embedded"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["0" * 40, ""])
def test_a_server_that_does_not_answer_is_waited_for_once_and_runs_go_to_files(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb").teardown()  # it reads the environment once
    monkeypatch.setattr(wandb_runs, "_is_unreachable", False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
    config = small_config(tmp_path, policy="a", tracker__name="wandb", tracker__mode="online")
    started = time.monotonic()
    for arm in ("first", "second"):
        with tracker(config, arm=arm) as log:
            log({"step": 1, "loss": 0.5})
    assert time.monotonic() - started < 30
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "tracked offline" in warnings[0] and "wandb sync" in warnings[0]
    logs = list((config.directory / "wandb").glob("offline-run-*/*.wandb"))
    assert len(logs) == 2


class StandIn(http.server.BaseHTTPRequestHandler):
    """As much of wandb's server as a run needs to start and to send what it logs."""

    received: ClassVar[list[bytes]] = []

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(
            gzip.decompress(body) if self.headers.get("Content-Encoding") else body
        )
        project = {"id": "1", "name": "p", "entity": {"id": "1", "name": "e"}}
        bucket = {"id": "1", "name": "r", "displayName": "r", "config": "{}", "project": project}
        data = {"model": None, "entity": None, "upsertBucket": {"bucket": bucket, "inserted": True}}
        content = json.dumps({"data": data} if self.path == "/graphql" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def test_a_server_that_is_lost_in_the_middle_of_a_run_costs_seconds_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # it reads the environment once
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(wandb_runs, "_is_unreachable", False)
    monkeypatch.setattr(wandb_runs, "SECONDS_TO_FINISH", 3.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    config = small_config(tmp_path, policy="a", tracker__name="wandb", tracker__mode="online")
    with tracker(config, arm="first") as log:
        log({"step": 1, "loss": 0.5})
        assert any(b"UpsertBucket" in body for body in StandIn.received)
        server.shutdown()
        server.server_close()
        for step in range(2, 5):
            log({"step": step, "loss": 0.5})
        lost = time.monotonic()
    with tracker(config, arm="second") as log:
        log({"step": 1, "loss": 0.5})
    assert time.monotonic() - lost < 20
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1 and "wandb lost a run (Timed out" in told[0] and "wandb sync" in told[0]
    wandb.teardown()  # its process writes on after it gave up sending
    (first,) = (config.directory / "wandb").glob("run-*/*.wandb")
    assert b"loss" in first.read_bytes()
    assert len(list((config.directory / "wandb").glob("offline-run-*/*.wandb"))) == 1


def test_a_run_that_wandb_refuses_to_log_to_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own process may be killed, as for memory."""
    calls: list[str] = []

    class Broken:
        def log(self, values: Any, *, step: int) -> None:
            calls.append(f"log {step}")
            raise BrokenPipeError("the service is gone")

        def finish(self) -> None:
            calls.append("finish")
            raise RuntimeError("the service is gone")

    def opened(*_: Any) -> wandb_runs.WandbRun:
        return wandb_runs.WandbRun(Broken(), place="here")

    pytest.importorskip("wandb")
    monkeypatch.setattr(wandb_runs, "_is_unreachable", False)
    monkeypatch.setattr(wandb_runs, "open_run", opened)
    config = small_config(tmp_path, policy="a", tracker__name="wandb", tracker__mode="online")
    with tracker(config, arm="a") as log:
        for step in range(3):
            log({"step": step, "loss": 0.5})
    assert calls == ["log 0", "finish"]
    assert capsys.readouterr().err.count("warning: wandb lost a run (the service is gone)") == 1
    with pytest.raises(KeyError, match="of the run"), tracker(config, arm="a"):
        raise KeyError("of the run")


def values_of(log: Path, key: str) -> list[tuple[int, float]]:
    """What a run's history holds of a key, by the checkpoint's step."""
    found = []
    for record in all_records_of(log):
        items = {item.key or "/".join(item.nested_key): item for item in record.history.item}
        if key in items:
            step = json.loads(items["checkpoint"].value_json)
            found.append((step, json.loads(items[key].value_json)))
    return found


def test_held_out_accuracy_goes_to_the_run_of_each_arm_once(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb").teardown()
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(swept))
    outcome = tiny("evaluate", swept, "tracker=wandb")
    assert outcome.code == 0, outcome.err
    curves = contracts.read_table(swept / "cups/curves.parquet", contracts.CURVES).to_pylist()
    for arm in {row["arm"] for row in curves}:
        (log,) = (swept / "cups/wandb").glob(f"offline-run-*-{arm}/*.wandb")
        assert run_of(log) == ("cups", "arm")
        expected = [
            (row["step"], row["accuracy"])
            for row in sorted(curves, key=lambda row: row["step"])
            if (row["arm"], row["split"]) == (arm, "held_out")
        ]
        assert len(expected) == 3
        assert values_of(log, "held_out/accuracy") == expected
    runs = len(list((swept / "cups/wandb").glob("offline-run-*")))
    assert runs == 5  # and the summary's
    assert tiny("evaluate", swept, "tracker=wandb").code == 0
    assert len(list((swept / "cups/wandb").glob("offline-run-*"))) == runs + 1


def test_wandb_s_own_variables_say_what_settings_leave_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(wandb, "init", lambda **options: started.append(options))
    for name, value in {
        "WANDB_PROJECT": "of-the-environment",
        "WANDB_MODE": "disabled",
        "WANDB_DIR": str(tmp_path / "elsewhere"),
    }.items():
        monkeypatch.setenv(name, value)
    about = About("0" * 16, "a run", "arm", {})
    wandb_runs.open_run(small_config(tmp_path, policy="a", tracker__name="wandb"), about)
    tracked = {"name": "wandb", "project": "p", "mode": "offline", "entity": "e", "tags": ["t"]}
    wandb_runs.open_run(small_config(tmp_path, policy="a", tracker=tracked), about)
    names = ("project", "mode", "entity", "tags")
    by_environment, by_settings = ([options[name] for name in names] for options in started)
    # wandb itself reads WANDB_ENTITY and WANDB_TAGS if it is given none
    assert by_environment == ["of-the-environment", "disabled", None, None]
    assert by_settings == ["p", "offline", "e", ["t"]]
    assert started[0]["dir"] == str(tmp_path / "elsewhere")
