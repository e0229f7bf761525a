"""Traces: logged, read, searched, assessed and deleted with the real client."""

import json
import time

import mlflow
import pytest
import requests
from devices import until
from mlflow.entities import AssessmentSource, SpanEvent, SpanStatusCode, SpanType, TraceState
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.exceptions import MlflowException
from otlp import export_request, send

CHAT = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


@mlflow.trace(span_type=SpanType.CHAIN, attributes={"k": "v"})
def answer(question: str, tags: dict | None = None, session: str = "s-1") -> str:
    with mlflow.start_span("model", span_type=SpanType.LLM) as span:
        span.set_inputs({"zebra": question, "ape": [1, 2.5, None, {"é": True}]})
        span.set_attribute("mlflow.chat.tokenUsage", CHAT)
        span.add_event(SpanEvent("token", attributes={"at": 1}))
        span.set_outputs("forty-two")
    metadata = {"mlflow.trace.session": session, "mlflow.trace.user": "ann"}
    mlflow.update_current_trace(tags=tags or {}, metadata=metadata)
    return "forty-two"


@mlflow.trace
def broken() -> None:
    raise ValueError("no answer")


def logged(function, *arguments, **named) -> str:
    """Traces a call and returns the trace's id once the server has it."""
    try:
        function(*arguments, **named)
    except ValueError:
        pass
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def test_a_trace_is_read_back_as_it_was_logged(client, experiment):
    trace_id = logged(answer, "why?", {"color": "red"})
    trace = mlflow.get_trace(trace_id)
    info = trace.info
    assert (info.state, info.experiment_id) == (TraceState.OK, experiment)
    assert info.tags["color"] == "red" and info.tags["mlflow.traceName"] == "answer"
    assert info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert info.trace_metadata["mlflow.trace.session"] == "s-1"
    assert info.token_usage == CHAT
    assert json.loads(info.request_preview)["question"] == "why?"
    assert info.response_preview == '"forty-two"'
    root, model = trace.data.spans
    assert (root.name, root.span_type, root.parent_id) == ("answer", SpanType.CHAIN, None)
    assert root.get_attribute("k") == "v" and root.outputs == "forty-two"
    assert (model.parent_id, model.span_type) == (root.span_id, SpanType.LLM)
    assert list(model.inputs) == ["zebra", "ape"]
    assert model.inputs["ape"] == [1, 2.5, None, {"é": True}]
    assert model.events[0].name == "token" and model.events[0].attributes == {"at": 1}
    assert root.start_time_ns <= model.start_time_ns <= model.end_time_ns <= root.end_time_ns


def test_a_failed_trace_says_why(client, experiment):
    trace = mlflow.get_trace(logged(broken))
    assert trace.info.state == TraceState.ERROR
    [span] = trace.data.spans
    assert span.status.status_code == SpanStatusCode.ERROR
    assert "no answer" in span.status.description
    assert span.events[0].attributes["exception.message"] == "no answer"


def test_traces_are_searched_as_a_dataframe(client, experiment):
    with mlflow.start_run() as run:
        in_run = logged(answer, "in a run", {"color": "red"})
    others = [logged(answer, f"question {at}", {"color": "blue", "at": str(at)}, f"s-{at % 2}") for at in range(5)]
    failed = logged(broken)

    def found(filter_string: str | None = None, **more) -> list[str]:
        traces = mlflow.search_traces(
            locations=[experiment], filter_string=filter_string, return_type="list", **more
        )
        return [trace.info.trace_id for trace in traces]

    newest_first = [failed, *reversed(others), in_run]
    assert found() == newest_first
    assert found(order_by=["timestamp ASC"]) == newest_first[::-1]
    assert found(max_results=3) == newest_first[:3]
    assert found("attributes.status = 'ERROR'") == [failed]
    assert found("trace.status = 'OK' AND tags.color = 'blue'") == others[::-1]
    assert found("tag.color != 'blue'") == [in_run]
    assert found("name = 'broken'") == [failed]
    assert found("trace.name LIKE 'ans%' AND tags.at = '3'") == [others[3]]
    assert found("metadata.`mlflow.trace.session` = 's-1'") == [others[3], others[1], in_run]
    assert found("tags.at IS NULL") == [failed, in_run]
    assert found("tags.at RLIKE '^[01]$'", order_by=["tag.at ASC"]) == others[:2]
    assert found("span.name = 'model' AND span.type = 'LLM'") == newest_first[1:]
    assert found("span.attributes.k = 'v' AND tags.at = '0'") == [others[0]]
    assert found("trace.text LIKE '%question 4%'") == [others[4]]
    assert found(f"request_id = '{in_run}'") == [in_run]
    assert found(f"run_id = '{run.info.run_id}'") == [in_run]
    assert [t.info.trace_id for t in mlflow.search_traces(
        locations=[experiment], run_id=run.info.run_id, return_type="list")] == [in_run]
    assert found("timestamp_ms > 0 AND execution_time_ms >= 0") == newest_first
    table = mlflow.search_traces(locations=[experiment])
    assert list(table["trace_id"]) == newest_first
    assert set(table["state"]) == {"OK", "ERROR"}
    page = client.search_traces(locations=[experiment], max_results=4)
    rest = client.search_traces(locations=[experiment], max_results=4, page_token=page.token)
    assert [trace.info.trace_id for trace in [*page, *rest]] == newest_first
    assert not rest.token
    with pytest.raises(MlflowException, match="Invalid"):
        found("nothing.at = 'all'")


def test_tags_are_set_and_deleted_after_the_trace_is_written(client, experiment):
    trace_id = logged(answer, "tagged", {"color": "red"})
    client.set_trace_tag(trace_id, "color", "green")
    client.set_trace_tag(trace_id, "size", "large")
    tags = mlflow.get_trace(trace_id).info.tags
    assert (tags["color"], tags["size"]) == ("green", "large")
    client.delete_trace_tag(trace_id, "color")
    client.delete_trace_tag(trace_id, "size")
    assert not {"color", "size"} & set(mlflow.get_trace(trace_id).info.tags)
    with pytest.raises(MlflowException, match="No trace tag with key 'color'"):
        client.delete_trace_tag(trace_id, "color")
    client.set_trace_tag(trace_id, "color", "blue")
    found = client.search_traces(locations=[experiment], filter_string="tags.color = 'blue'")
    assert [trace.info.trace_id for trace in found] == [trace_id]
    assert not client.search_traces(locations=[experiment], filter_string="tags.color = 'red'")


def test_assessments_are_made_changed_overridden_and_deleted(client, experiment):
    trace_id = logged(answer, "assess me")
    source = AssessmentSource("HUMAN", "ann@lab")
    good = mlflow.log_feedback(trace_id=trace_id, name="good", value=True, source=source, rationale="short",
                               metadata={"round": "1"})
    expected = mlflow.log_expectation(trace_id=trace_id, name="expected", value={"a": [1, "x"]}, source=source)
    mlflow.log_feedback(trace_id=trace_id, name="score", value=0.75)
    held = {one.name: one for one in mlflow.get_trace(trace_id).info.assessments}
    assert held["good"].value is True and held["good"].rationale == "short"
    assert held["good"].source == source and held["good"].metadata == {"round": "1"}
    assert held["expected"].value == {"a": [1, "x"]}
    assert held["score"].value == 0.75

    def found(filter_string: str) -> int:
        return len(client.search_traces(locations=[experiment], filter_string=filter_string))

    assert found("feedback.good = 'true'") == 1 and found("feedback.good = 'false'") == 0
    assert found("feedback.score > 0.7") == 1 and found("feedback.score > 0.8") == 0
    assert found("expectation.expected IS NOT NULL") == 1 and found("feedback.other IS NULL") == 1

    changed = mlflow.entities.Feedback(name="good", value=False, rationale="long", metadata={"by": "bob"})
    mlflow.update_assessment(trace_id, good.assessment_id, changed)
    read = mlflow.get_assessment(trace_id, good.assessment_id)
    assert (read.value, read.rationale, read.metadata) == (False, "long", {"round": "1", "by": "bob"})
    assert read.source == source

    better = mlflow.override_feedback(trace_id=trace_id, assessment_id=good.assessment_id, value="best")
    assert mlflow.get_assessment(trace_id, good.assessment_id).valid is False
    mlflow.delete_assessment(trace_id, better.assessment_id)
    assert mlflow.get_assessment(trace_id, good.assessment_id).valid is True
    mlflow.delete_assessment(trace_id, expected.assessment_id)
    with pytest.raises(MlflowException, match="not found"):
        mlflow.get_assessment(trace_id, expected.assessment_id)
    with pytest.raises(MlflowException, match="not found"):
        mlflow.log_feedback(trace_id="tr-nobody", name="good", value=True)


def assess(server: str, trace_id: str, assessment: dict) -> dict:
    url = f"{server}/api/3.0/mlflow/traces/{trace_id}/assessments"
    made = requests.post(url, json={"assessment": assessment | {"source": {"source_type": "HUMAN"}}}, timeout=60)
    assert made.status_code == 200, made.text
    return made.json()["assessment"]


def test_assessments_of_one_millisecond_come_in_the_order_in_which_they_were_made(client, experiment, server):
    trace_id = logged(answer, "in order")
    times = {"create_time": "2026-01-02T03:04:05.678Z", "last_update_time": "2026-01-02T03:04:05.678Z"}
    names = [f"said {at}" for at in range(12)]
    for name in names:
        assess(server, trace_id, {"assessment_name": name, "feedback": {"value": 1}} | times)
    assert [one.name for one in mlflow.get_trace(trace_id).info.assessments] == names


def test_a_structured_expectation_comes_back_as_text_of_json(client, experiment, server):
    trace_id = logged(answer, "expected")
    for value, expected in [
        ("short", {"value": "short"}),
        (["é", 1], {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": r'["\u00e9", 1]'}}),
    ]:
        made = assess(server, trace_id, {"assessment_name": "expected", "expectation": {"value": value}})
        assert made["expectation"] == expected
        assert mlflow.get_assessment(trace_id, made["assessment_id"]).value == value


def test_a_link_may_arrive_before_the_trace(client, server, experiment, run_id):
    # The client sends traces in the background.
    trace_id = "tr-" + "0c" * 16
    client.link_traces_to_run([trace_id], run_id)
    asked = {"locations": [experiment], "filter_string": f"attribute.run_id = '{run_id}'"}
    assert not client.search_traces(**asked)
    spans = export_request(b"\x0c" * 16, (b"\x01" * 8, b"", "late"))
    assert send(server, experiment, spans.SerializeToString()).status_code == 200
    assert [trace.info.trace_id for trace in client.search_traces(**asked)] == [trace_id]


def test_traces_are_linked_to_runs_and_prompts(client, experiment, run_id, wire):
    trace_ids = [logged(answer, f"link {at}") for at in range(3)]
    client.link_traces_to_run(trace_ids[:2], run_id)
    client.link_traces_to_run(trace_ids[:1], run_id)
    found = client.search_traces(locations=[experiment], filter_string=f"attribute.run_id = '{run_id}'")
    assert sorted(trace.info.trace_id for trace in found) == sorted(trace_ids[:2])
    versions = [{"name": "qa", "version": "3"}]
    linked = wire.post("traces/link-prompts", {"trace_id": trace_ids[2], "prompt_versions": versions})
    assert linked.status == 200
    found = client.search_traces(locations=[experiment], filter_string='prompt = "qa/3"')
    assert [trace.info.trace_id for trace in found] == [trace_ids[2]]


def test_deleted_traces_are_gone(client, experiment):
    first, second, third = (logged(answer, f"delete {at}") for at in range(3))
    assert client.delete_traces(experiment, trace_ids=[second]) == 1
    assert client.delete_traces(experiment, trace_ids=[second, "tr-nobody"]) == 0
    left = client.search_traces(locations=[experiment])
    assert [trace.info.trace_id for trace in left] == [third, first]
    assert mlflow.get_trace(second) is None
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000), max_traces=1) == 1
    assert [trace.info.trace_id for trace in client.search_traces(locations=[experiment])] == [third]
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000)) == 1
    assert not client.search_traces(locations=[experiment])


# Figures about many traces.


def figures(client, experiment, view: str, metric: str, *aggregations: MetricAggregation, **options) -> list:
    """What each point holds: its dimensions and its values."""
    aggregations = aggregations or (MetricAggregation(AggregationType.COUNT),)
    store = client._tracing_client.store
    points = store.query_trace_metrics([experiment], MetricViewType(view), metric, list(aggregations), **options)
    assert {point.metric_name for point in points} <= {metric}
    return [(point.dimensions, point.values) for point in points]


def test_traces_spans_and_assessments_are_counted_and_measured(client, server, experiment):
    def of(*arguments, **options):
        return figures(client, experiment, *arguments, **options)

    median, total = MetricAggregation(AggregationType.PERCENTILE, 50), MetricAggregation(AggregationType.SUM)
    assert of("TRACES", "trace_count") == [({}, {"COUNT": 0})]
    for at in range(4):
        spans = export_request(bytes([at + 1]) * 16, (b"\x01" * 8, b"", f"root-{at % 2}"), (b"\x02" * 8, b"\x01" * 8, "pay"))
        assert send(server, experiment, spans.SerializeToString()).status_code == 200
    first = "tr-" + "01" * 16
    for name, value in [("good", "yes"), ("good", "no"), ("score", 0.5)]:
        mlflow.log_feedback(trace_id=first, name=name, value=value)
    mlflow.log_expectation(trace_id=first, name="answer", value=7)

    assert of("TRACES", "trace_count") == [({}, {"COUNT": 4})]
    assert of("TRACES", "session_count") == [({}, {"COUNT": 1})]
    # 5 ms from the start of the last span, which starts 1 ms after the first.
    assert of("TRACES", "latency", median) == [({}, {"P50.0": 6})]
    assert of("TRACES", "total_tokens", total, filters=["trace.status = 'OK'"]) == [({}, {"SUM": 60})]
    assert of("TRACES", "trace_count", filters=["trace.tag.team = 'none'"]) == [({}, {"COUNT": 0})]
    at = 1_800_000_000_000
    by_time = of("TRACES", "trace_count", time_interval_seconds=3600, start_time_ms=at, end_time_ms=at)
    assert by_time == [({"time_bucket": "2027-01-15T08:00:00+00:00"}, {"COUNT": 4})]
    assert of("SPANS", "span_count", dimensions=["span_name"]) == [
        ({"span_name": "pay"}, {"COUNT": 4}), ({"span_name": "root-0"}, {"COUNT": 2}), ({"span_name": "root-1"}, {"COUNT": 2})]
    assert of("SPANS", "latency", median, filters=["span.name = 'pay'"]) == [({}, {"P50.0": 5})]
    assert of("ASSESSMENTS", "assessment_count", dimensions=["assessment_name"]) == [
        ({"assessment_name": "answer"}, {"COUNT": 1}), ({"assessment_name": "good"}, {"COUNT": 2}),
        ({"assessment_name": "score"}, {"COUNT": 1})]
    mean = MetricAggregation(AggregationType.AVG)
    assert of("ASSESSMENTS", "assessment_value", mean, filters=["assessment.type = 'feedback'"]) == [({}, {"AVG": 0.5})]
    for wrong in ["trace.status != 'OK'", "trace.nothing = 'x'", "span.name = 'pay'"]:
        with pytest.raises(MlflowException, match="INVALID_PARAMETER_VALUE"):
            of("TRACES", "trace_count", filters=[wrong])
    with pytest.raises(MlflowException, match="Supported aggregation types"):
        of("TRACES", "latency")


# Clients of MLflow 2.


def test_a_client_of_mlflow_2_starts_ends_and_reads_a_trace(wire, server, client, experiment):
    def ask(method: str, path: str, body=None):
        headers = {"Content-Type": "application/json"}
        answer = wire.send(method, f"/api/2.0/mlflow/{path}", body and json.dumps(body).encode(), headers)
        assert answer.status == 200, answer.body
        return answer.json

    def pairs(listed) -> dict:
        return {pair["key"]: pair["value"] for pair in listed}

    start = {"experiment_id": experiment, "timestamp_ms": 1000, "request_metadata": [{"key": "a", "value": "1"}],
             "tags": [{"key": "mlflow.traceName", "value": "old"}]}
    info = ask("POST", "traces", start)["trace_info"]
    request_id = info["request_id"]
    assert (info["status"], info["timestamp_ms"]) == ("IN_PROGRESS", 1000)
    location = pairs(info["tags"])["mlflow.artifactLocation"]
    assert location == f"mlflow-artifacts:/{experiment}/traces/{request_id}/artifacts"
    spans = json.dumps({"spans": []}).encode()
    path = location.removeprefix("mlflow-artifacts:/")
    put = requests.put(f"{server}/api/2.0/mlflow-artifacts/artifacts/{path}/traces.json", data=spans, timeout=60)
    assert put.status_code == 200
    end = {"timestamp_ms": 1500, "status": "OK", "request_metadata": [{"key": "b", "value": "2"}],
           "tags": [{"key": "c", "value": "3"}]}
    ended = ask("PATCH", f"traces/{request_id}", end)["trace_info"]
    assert (ended["status"], ended["execution_time_ms"]) == ("OK", 500)
    assert ask("GET", f"traces/{request_id}/info")["trace_info"] == ended
    assert pairs(ended["request_metadata"]).items() >= {"a": "1", "b": "2"}.items()
    assert pairs(ended["tags"]).items() >= {"mlflow.traceName": "old", "c": "3"}.items()
    [found] = ask("GET", f"traces?experiment_ids={experiment}&filter=name%20%3D%20'old'")["traces"]
    assert found == ended
    assert wire.get(f"get-trace-artifact?request_id={request_id}").body == spans
    ask("PATCH", f"traces/{request_id}/tags", {"key": "d", "value": "4"})
    assert client.get_trace(request_id).info.tags["d"] == "4"
    assert ask("POST", "traces/delete-traces", {"experiment_id": experiment, "request_ids": [request_id]}) == {
        "traces_deleted": 1
    }


# Several devices, and power cuts.


@pytest.mark.runmesh_only
def test_what_is_traced_and_said_on_two_devices_is_the_same_on_both(devices):
    ann, bob = devices("ann").up(), devices("bob").up()

    def trace_on(device, question: str) -> str:
        mlflow.set_tracking_uri(device.url)
        mlflow.set_experiment("agents")
        return logged(answer, question, {"color": "red"})

    before, gone = trace_on(ann, "before"), trace_on(ann, "gone")
    kept = trace_on(bob, "taken along")
    bob.ask("join", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    ann.ask("sync", "--wait")
    clients = {device: mlflow.MlflowClient(device.url) for device in (ann, bob)}
    experiment = clients[bob].get_experiment_by_name("agents").experiment_id
    clients[ann].set_trace_tag(before, "color", "green")
    mlflow.set_tracking_uri(bob.url)
    mlflow.log_feedback(trace_id=before, name="good", value=True)
    clients[bob].delete_traces(experiment, trace_ids=[gone])

    def seen(device) -> dict:
        device.ask("sync", "--wait")
        mlflow.set_tracking_uri(device.url)
        traces = clients[device].search_traces(locations=[experiment])
        return {
            trace.info.trace_id: (
                trace.info.tags["color"],
                [one.name for one in trace.info.assessments],
                [(span.name, span.inputs) for span in trace.data.spans],
            )
            for trace in traces
        }

    until(lambda: seen(ann) == seen(bob) and len(seen(ann)) == 2, "both show the same")
    assert seen(ann)[before][:2] == ("green", ["good"])
    assert set(seen(ann)) == {before, kept}


@pytest.mark.runmesh_only
def test_what_was_acknowledged_while_tracing_is_there_after_a_kill(devices, rng):
    device = devices("ann").up()
    acknowledged = []
    for round_ in range(8):
        for at in range(rng.randrange(1, 12)):
            trace = rng.randbytes(16)
            request = export_request(trace, (b"\x01" * 8, b"", f"step {round_}.{at}"), (b"\x02" * 8, b"\x01" * 8, "in"))
            assert send(device.url, "0", request.SerializeToString()).status_code == 200
            acknowledged.append("tr-" + trace.hex())
        device.kill()
        device.up()
        read = requests.get(f"{device.url}/api/3.0/mlflow/traces/batchGet",
                            params={"trace_ids": acknowledged}, timeout=60).json()["traces"]
        assert sorted(one["trace_info"]["trace_id"] for one in read) == sorted(acknowledged)
        assert all(len(one["spans"]) == 2 for one in read)
