"""scripts/measure_ranks.py: the model against sums by hand, its fit, the
report, and, on hosts of this machine, the program itself with a tiny net."""

import json
import math
import re
import subprocess
import sys

import pytest

import measure_ranks
from distributed import hosts, model, rank_nets, runs
from nets import registry
from nets.text import to_text
from ranks import needs_mpi, train, weights, write_data

needs_hosts = pytest.mark.skipif(
    hosts.missing() is not None, reason=str(hosts.missing())
)
# Half of the time is Forward; three quarters are over when the first leaves.
NET = {
    "title": "net",
    "batch": 128,
    "words": {},
    "messages": [
        {
            "layer": "fc2",
            "part": "",
            "floats": 4_000_000,
            "kept": 1_000_000,
            "forward": 100,
            "work": 50,
        },
        {
            "layer": "fc1",
            "part": "",
            "floats": 2_000_000,
            "kept": 500_000,
            "forward": 0,
            "work": 50,
        },
    ],
}
FREE = model.Exchange(handling=0, share=1)
GIGABYTE = model.Link(bytes_per_s=1e9, latency_s=0)


def step(compute_s, ranks, link=GIGABYTE, whole=False, exchange=FREE, **how):
    return model.step_s(NET, compute_s, ranks, link, whole, exchange, **how)


def test_one_rank_exchanges_nothing():
    assert step(0.3, 1, exchange=model.Exchange(1, 0.1)) == 0.3


@pytest.mark.parametrize("ranks", [2, 4, 1024])
def test_without_compute_a_step_is_the_sum(ranks):
    for whole, megabytes in (False, 6), (True, 24):
        sent = 2 * (ranks - 1) / ranks * megabytes * 1e-3
        assert step(0, ranks, whole=whole) == pytest.approx(sent)
    late = model.Link(bytes_per_s=math.inf, latency_s=1e-3)
    # Three messages: the last one is that of small values.
    rounds = 3 * 2 * (ranks - 1)
    assert step(0, ranks, late, algorithm=model.RING) == pytest.approx(
        rounds * 1e-3
    )
    assert step(0, ranks, late) == pytest.approx(
        3 * 2 * math.log2(ranks) * 1e-3
    )


def test_what_leaves_early_hides_behind_backward():
    # fc2's 4 ms begin at 3/4 of 40 ms, fc1's 2 ms at the end.
    assert step(0.04, 2) == pytest.approx(0.042)
    # fc2's 16 ms end after Backward: then fc1's 8 ms.
    assert step(0.04, 2, whole=True) == pytest.approx(0.03 + 0.024)


def test_the_processor_pays_for_bytes():
    busy = model.Exchange(handling=2e-9, share=1)
    slow = model.Exchange(handling=0, share=0.5)
    endless = model.Link(bytes_per_s=math.inf, latency_s=0)
    assert step(0.04, 2, endless, exchange=busy) == pytest.approx(0.052)
    assert step(0, 2, exchange=slow) == pytest.approx(0.012)


def test_small_messages_leave_together():
    small = {**NET["messages"][0], "floats": 20000, "kept": 5000}
    net = {**NET, "messages": [small, NET["messages"][1]]}
    kept = model.departures(net, 2, False)
    assert kept == [(2_000_000, 1), (20_000, 1)]
    assert len(model.departures(net, 2, True)) == 3


def test_rows_of_words_grow_with_the_ranks():
    words = {"1": 100, "4": 400}
    assert model.words_of(words, 2) == pytest.approx(200)
    assert model.words_of(words, 4) == pytest.approx(400)
    row = {"floats": 9e9, "row_floats": 10}
    assert model.floats_of(row, 4, False, words) == pytest.approx(4000)
    assert model.floats_of(row, 4, True, words) == 9e9


def test_fit_finds_what_steps_were_made_of():
    true = model.Exchange(handling=1.3e-9, share=0.7)
    measured = []
    for rate in 1.25e9, 1.25e8:
        for whole in False, True:
            link = model.Link(bytes_per_s=rate, latency_s=4e-5)
            arguments = NET, 0.03, 2, link, whole
            measured.append((arguments, model.step_s(*arguments, true)))
    found = model.fit(measured)
    assert found.handling == pytest.approx(true.handling, rel=0.01)
    assert found.share == pytest.approx(true.share, rel=0.01)


def test_streams_of_text_are_enough_for_all_ranks():
    net = rank_nets.rank_nets()["lstm"]
    (streams,) = (
        option for option in registry.preparation(net.data(2))
        if option.startswith("--batch-size="))
    assert streams == f"--batch-size={2 * net.experiment.batch_size}"
    for ranks in 1, 2:
        sources = to_text(net.net(ranks))
        assert f'"{net.data(ranks).data}/train.txt"' in sources


@pytest.mark.parametrize(
    "name, floats, kept",
    [
        ("mlp", 784 * 4096 + 4096**2 + 40960, 963000 + 1_510_000 + 12_300),
        ("vgg", 25088 * 4096 + 4096**2 + 4_096_000, 57_622_528),
    ],
)
def test_messages_are_the_nets_weights(name, floats, kept):
    messages = rank_nets.rank_nets()[name].messages()
    assert [each["layer"] for each in messages] == ["fc3", "fc2", "fc1"]
    assert sum(each["floats"] for each in messages) == floats
    found = sum(each["kept"] for each in messages)
    assert found == pytest.approx(kept, rel=1e-3)


def made_up():
    """Results of two ranks as the model has them, and of four, bytes only."""
    true = model.Exchange(handling=1e-9, share=0.8)
    machine = {"cpu": "made up", "cores": 2}
    common = {"command": "c", "date": "d", "commit": "e", "machine": machine}
    links = {
        gbit: {"latency_us": 40, "bytes_per_s": 1e8} for gbit in ("10", "1")
    }
    found = []
    for case in runs.cases(2, (10, 1), False):
        link = model.Link(case.gbit * 1e9 / 8, 4e-5)
        start = NET, 0.03, case.ranks if case.gbit else 1, link, case.whole
        found.append(
            {
                "net": "mlp",
                **vars(case),
                "step_ms": 1e3 * model.step_s(*start, true),
                "sent_bytes": 6e6 * (4 if case.whole else 1),
                "whole_bytes": 24e6,
                "wire_bytes": 6.1e6,
                "taken_ms": 8,
                "waited_ms": 3,
            }
        )
    two = {
        **common,
        "ranks": 2,
        "only_bytes": False,
        "others_busy_cores": 0.01,
        "nets": {"mlp": NET},
        "links": links,
        "runs": found,
    }
    many = [
        {**run, "ranks": 4} for run in found if run["kind"] == runs.EXCHANGE
    ]
    return two, {**two, "ranks": 4, "only_bytes": True, "runs": many}


def test_report(tmp_path):
    for results in made_up():
        path = tmp_path / f"ranks_{results['ranks']}.json"
        path.write_text(json.dumps(results))
    assert measure_ranks.main(["--report", "-o", str(tmp_path)]) == 0
    fitted = json.loads((tmp_path / "model.json").read_text())
    assert fitted["handling_ns_per_byte"] == pytest.approx(1, rel=0.01)
    assert fitted["link_share"] == pytest.approx(0.8, rel=0.01)
    assert fitted["largest_error"] < 0.01
    assert [curve["ranks"][-1] for curve in fitted["curves"]] == [1024] * 4
    text = (tmp_path / "table.md").read_text()
    kept = re.search(r"\| 2 +\| 10 .*kept rows.*", text)[0]
    # 6 MB: 30 ms and 6 ms of the processor's.
    assert "0.83" in kept and "6.0 (25%)" in kept
    assert "Fewer cores than ranks" in text
    assert (tmp_path / "model.png").stat().st_size > 10000


def test_report_of_nothing(tmp_path, capsys):
    assert measure_ranks.main(["--report", "-o", str(tmp_path)]) == 1
    assert "nothing was measured" in capsys.readouterr().err


def test_wrong_arguments(capsys):
    for arguments in ["nets"], ["--ranks", "1"], ["--gbit", "0"]:
        with pytest.raises(SystemExit):
            measure_ranks.main(arguments)
    assert "there are: ['mlp', 'mlp_1024', 'lstm', 'vgg']" in (
        capsys.readouterr().err
    )


def test_without_root_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(hosts.os, "geteuid", lambda: 1000)
    assert measure_ranks.main([]) == 1
    assert "want root; nothing is timed" in capsys.readouterr().err


@needs_hosts
def test_links_have_the_speed_that_is_set(monkeypatch):
    link = [sys.executable, str(measure_ranks.LINK)]
    with hosts.Hosts(2) as group:
        names = [*group.names, group.switch]
        group.shape(0.05)
        serve = [*group.enter(1), *link, "serve", group.addresses[1]]
        with subprocess.Popen(serve):
            measure = [*link, "measure", group.addresses[1], "20"]
            found = json.loads(hosts.call(*group.enter(0), *measure))
        assert 1e6 < found["bytes_per_s"] < 6.3e6
        assert min(group.sent_bytes()[:1]) > 20e6
    left = hosts.call("ip", "netns", "list")
    assert not any(name in left for name in names)


def test_runs_of_other_nets_are_kept(tmp_path, monkeypatch):
    """Or nothing is measured, where they are of another commit."""
    path = tmp_path / "ranks_2.json"
    facts = {"machine": {"cpu": "x"}, "commit": "01234", "only_bytes": False}
    earlier = {
        **facts,
        "nets": {"mlp": 1, "lstm": 2},
        "runs": [{"net": "mlp", "n": 1}, {"net": "lstm", "n": 2}],
    }
    path.write_text(json.dumps(earlier))
    results = {**facts, "nets": {"mlp": 3}, "runs": []}
    measure_ranks.keep_others(path, results)
    assert results["nets"] == {"mlp": 3, "lstm": 2}
    assert results["runs"] == [{"net": "lstm", "n": 2}]
    for commit in "56789", "unknown":
        results = {**facts, "commit": commit, "nets": {"mlp": 3}, "runs": []}
        with pytest.raises(ValueError, match="ranks_2.json has lstm of commit"):
            measure_ranks.keep_others(path, results)


@needs_mpi
@needs_hosts
def test_a_tiny_net(tmp_path, monkeypatch):
    """VGG's net makes up its data."""
    monkeypatch.setattr(measure_ranks, "commit", lambda: "0123456789ab")
    arguments = ["vgg", "--quick", "--gbit", "1", "-o", str(tmp_path)]
    assert measure_ranks.main(arguments) == 0
    results = json.loads((tmp_path / "ranks_2.json").read_text())
    alone, beside, kept, whole = results["runs"]
    assert [len(each["intervals_ms"]) for each in results["runs"]] == [
        1, 2, 1, 1,
    ]  # fmt: skip
    net = results["nets"]["vgg"]
    for run, all_of_it in (kept, False), (whole, True):
        # The biases, of 64 + 64 + 1000 outputs, are not the model's.
        sent = model.sent_bytes(net, 2, all_of_it)
        assert run["sent_bytes"] == pytest.approx(sent, rel=0.01)
        # Two ranks send half of it twice; with headers, and more or less of a
        # step where the counters are read late.
        assert 0.8 < run["wire_bytes"] / run["sent_bytes"] < 1.25
        assert run["taken_ms"] >= run["waited_ms"] > 0
    assert kept["sent_bytes"] < 0.51 * whole["sent_bytes"]
    assert whole["sent_bytes"] == whole["whole_bytes"]


@needs_mpi
def test_whole_gradients_are_the_same_step(tmp_path, monkeypatch):
    write_data(tmp_path)
    train(tmp_path, "row", 2, run="kept")
    monkeypatch.setenv(runs.WHOLE, "1")
    _, log = train(tmp_path, "row", 2, run="whole")
    sent, whole, *_ = runs.TOTALS.search(log).groups()
    assert sent == whole
    assert (weights(tmp_path, "kept") == weights(tmp_path, "whole")).all()
