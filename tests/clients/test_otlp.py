"""Spans as OpenTelemetry's exporters send them, and what other instrumentations say in words of their own.

For the latter MLflow's own reading of a span, which the client has with it, is what ours must be.
"""

import gzip
import json

import mlflow
import requests
from mlflow.entities import TraceState
from mlflow.entities.span import Span
from mlflow.tracing.otel.translation import translate_span_when_storing
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import attribute, export_request, send


def test_spans_that_exporters_send_become_a_trace(client, server, experiment):
    trace = bytes(range(16))
    whole = export_request(trace, (b"\x01" * 8, b"", "checkout"), (b"\x02" * 8, b"\x01" * 8, "pay"))
    sent = send(server, experiment, gzip.compress(whole.SerializeToString()), content_encoding="gzip")
    assert (sent.status_code, sent.headers["content-type"], sent.content) == (200, "application/x-protobuf", b"")
    read = mlflow.get_trace("tr-" + trace.hex())
    assert read.info.state == TraceState.OK
    assert read.info.request_time == 1_800_000_000_000 and read.info.execution_duration == 6
    assert read.info.tags["service.name"] == "shop" and read.info.tags["team"] == "risk"
    assert "telemetry.sdk.language" not in read.info.tags
    assert read.info.trace_metadata["mlflow.trace.session"] == "s-9"
    assert read.info.trace_metadata["mlflow.trace.user"] == "bob"
    # The checkout counts for the payment below it.
    assert read.info.token_usage == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert "what?" in read.info.request_preview
    assert [span.name for span in read.data.spans] == ["checkout", "pay"]
    assert read.data.spans[0].get_attribute("gen_ai.request.model") == "tiny"
    found = client.search_traces(locations=[experiment], filter_string="metadata.`mlflow.trace.session` = 's-9'")
    assert [one.info.trace_id for one in found] == [read.info.trace_id]


def test_spans_that_come_late_and_twice_are_one_trace(client, server, experiment):
    trace = bytes(range(1, 17))
    root = export_request(trace, (b"\x01" * 8, b"", "checkout"))
    child = export_request(trace, (b"\x02" * 8, b"\x01" * 8, "pay"))
    for request in (child, root, child, root):
        assert send(server, experiment, request.SerializeToString()).status_code == 200
    read = mlflow.get_trace("tr-" + trace.hex())
    assert [span.name for span in read.data.spans] == ["checkout", "pay"]
    assert read.info.token_usage == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def test_spans_may_come_as_json_and_name_a_run(client, server, experiment, run_id):
    span = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "json", "kind": 1, "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "2000000000", "status": {"code": 2, "message": "sad"},
            "attributes": [{"key": "n", "value": {"intValue": "7"}},
                           {"key": "list", "value": {"arrayValue": {"values": [{"doubleValue": 0.5}]}}}]}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    sent = send(server, experiment, body, content_type="application/json", x_mlflow_run_id=run_id)
    assert sent.status_code == 200
    read = mlflow.get_trace("tr-" + "0a" * 16)
    assert (read.info.state, read.data.spans[0].status.description) == (TraceState.ERROR, "sad")
    assert read.data.spans[0].get_attribute("n") == 7 and read.data.spans[0].get_attribute("list") == [0.5]
    found = client.search_traces(locations=[experiment], filter_string=f"run_id = '{run_id}'")
    assert [one.info.trace_id for one in found] == [read.info.trace_id]


def test_what_no_exporter_sends_is_refused(server, experiment, client):
    good = export_request(bytes(range(2, 18)), (b"\x01" * 8, b"", "x")).SerializeToString()
    no_id = export_request(b"", (b"\x01" * 8, b"", "x")).SerializeToString()
    for status, body, headers in [
        (400, b"", {}),
        (400, b"\xff\xff", {}),
        (400, good, {"content_type": "text/plain"}),
        (400, good, {"content_encoding": "br"}),
        (400, good, {"content_encoding": "gzip"}),
        (400, b"[]", {"content_type": "application/json"}),
        (404, good, {"x_mlflow_experiment_id": "99999"}),
        (400, good, {"x_mlflow_experiment_id": "none"}),
        (422, no_id, {}),
    ]:
        assert send(server, experiment, body, **headers).status_code == status, (body[:20], headers)
    bare = requests.post(f"{server}/v1/traces", data=good, headers={"content-type": "application/x-protobuf"}, timeout=60)
    assert bare.status_code == 422
    assert not client.search_traces(locations=[experiment])


# Words of other instrumentations: attributes, then events by name with their attributes.
LANGFUSE = {"langfuse.observation.input": '{"args": [2, 3]}', "langfuse.observation.output": "5"}
GEMINI = {"gen_ai.agent.name": "gemini-cli"}
GEMINI_PIECES = '[{"role": "model", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]'
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
SAID = {
    "OpenInference": ({"openinference.span.kind": "RERANKER", "input.value": '{"a": [1]}', "output.value": "plain",
                       "llm.model_name": "m", "llm.provider": "p", "llm.token_count.prompt": 3,
                       "llm.token_count.completion": "4", "llm.token_count.prompt_details.cache_read": 2}, []),
    "nothing in it": ({"openinference.span.kind": "LLM", "input.value": "[]", "output.value": ""}, []),
    "OpenTelemetry": ({**CHAT, "gen_ai.input.messages": '[{"role": "user"}]', "gen_ai.output.messages": "yes",
                       "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
                       "gen_ai.usage.cache_creation.input_tokens": 7,
                       "gen_ai.tool.definitions": '[{"name": "add"}]'}, []),
    "OpenTelemetry's tool": ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": '{"x": 1}',
                              "gen_ai.tool.call.result": "2"}, []),
    "OpenTelemetry's events": ({"gen_ai.operation.name": "chat"},
                               [("gen_ai.system.message", {"content": "be brief"}),
                                ("gen_ai.user.message", {"content": "why?"}),
                                ("gen_ai.choice", {"content": "so"})]),
    "Spring AI": (CHAT, [("gen_ai.content.prompt", {"gen_ai.prompt": "why?"}),
                         ("gen_ai.content.completion", {"gen_ai.completion": '["so"]'})]),
    "Traceloop": ({"traceloop.span.kind": "workflow", "traceloop.entity.input": '{"q": 1}',
                   "gen_ai.completion.0.content": "so", "gen_ai.system": "openai",
                   "gen_ai.usage.prompt_tokens": 1, "gen_ai.usage.completion_tokens": 2,
                   "llm.usage.total_tokens": 4}, []),
    "Traceloop's prompts": ({"traceloop.span.kind": "task", "gen_ai.prompt.0.role": "user",
                             "gen_ai.prompt.0.content": "why?"}, []),
    "Google ADK": ({"gcp.vertex.agent.llm_request": '{"model": "gemini-2", "contents": []}',
                    "gcp.vertex.agent.llm_response": '{"content": {"parts": []}}'}, []),
    "Vercel's chat": ({"ai.operationId": "ai.streamText.doStream", "ai.prompt.messages": '[{"role": "user"}]',
                       "ai.prompt.tools": ['{"name": "add"}'], "ai.response.text": "yes",
                       "ai.response.finishReason": "stop"}, []),
    "Vercel's step": ({"ai.operationId": "ai.embed", "ai.value": "text", "ai.embedding": "[0.5, 1.0]"}, []),
    "VoltAgent": ({"span.type": "memory", "entity.type": "agent", "voltagent.operation_id": "o", "input": "in",
                   "output": '{"out": 1}', "llm.usage.prompt_tokens": 8,
                   "usage.completion_tokens": 1}, []),
    "VoltAgent's root": ({"entity.type": "agent", "voltagent.conversation_id": "c", "agent.messages": "[1]"}, []),
    "LiveKit's agent": ({"lk.agent_name": "a", "lk.user_input": "hi", "lk.response.text": "ho"}, []),
    "LiveKit's tool": ({"lk.function_tool.name": "add", "lk.response.function_calls": '["add"]'}, []),
    "LiveKit's model": ({"lk.job_id": "j", "gen_ai.request.model": "m"}, []),
    "Laminar": ({"lmnr.span.type": "EXECUTOR", "lmnr.span.input": '{"i": 1}', "lmnr.span.output": "o"}, []),
    "Langfuse's generation": ({"langfuse.observation.type": "generation", **LANGFUSE}, []),
    "Langfuse's span": ({"langfuse.observation.type": "span", **LANGFUSE}, []),
    "Claude Code's turn": ({"span.type": "claude_code.interaction", "user_prompt": "<REDACTED>",
                            "new_context": "hi"}, []),
    "Claude Code's request": ({"span.type": "llm_request", "new_context": "hi", "response.model_output": "ho",
                               "input_tokens": 5, "cache_read_tokens": 2, "cache_creation_tokens": 1,
                               "output_tokens": 3}, []),
    "Claude Code's tool": ({"span.type": "claude_code.tool", "full_command": "ls", "file_path": "/x"},
                           [("tool.output", {"output": "<REDACTED>", "content": "a b"})]),
    "Gemini CLI": ({**GEMINI, "gen_ai.operation.name": "llm_call", "gen_ai.input.messages": "hi",
                    "gen_ai.output.messages": GEMINI_PIECES}, []),
    "Gemini CLI's wrapped": ({**GEMINI, "gen_ai.operation.name": "agent_call",
                              "gen_ai.input.messages": '{"contents": "hi"}'}, []),
    "its model is in what it was given": ({"input.value": '{"model": "m-1"}'}, []),
    "nobody's words": ({"color": "red"}, [("said", {"content": "x"})]),
}
# What MLflow's server adds to a span.
ADDED = ["mlflow.spanType", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tokenUsage", "mlflow.chat.tools",
         "mlflow.message.format", "mlflow.llm.model", "mlflow.llm.provider"]


def spans_that_say(trace: bytes, said: dict[str, tuple[dict, list]]) -> ExportTraceServiceRequest:
    """A request of spans by these names, each with its attributes and events and nothing else."""
    ids = [bytes([at + 1]) * 8 for at in range(len(said))]
    request = export_request(trace, *((id, ids[0] if at else b"", name) for at, (id, name) in enumerate(zip(ids, said))))
    for scope, (attributes, events) in zip(request.resource_spans[0].scope_spans, said.values(), strict=True):
        [span] = scope.spans
        del span.attributes[:]
        span.attributes.extend(attribute(key, of) for key, of in attributes.items())
        for name, told in events:
            span.events.add(name=name).attributes.extend(attribute(key, of) for key, of in told.items())
    return request


def test_words_of_other_instrumentations_are_read_as_mlflow_reads_them(client, server, experiment):
    trace = bytes(range(3, 19))
    request = spans_that_say(trace, SAID)
    assert send(server, experiment, request.SerializeToString()).status_code == 200

    def added(span: Span) -> dict:
        return {name: span.get_attribute(name) for name in ADDED}

    sent = [scope.spans[0] for scope in request.resource_spans[0].scope_spans]
    expected = {span.name: added(Span.from_dict(translate_span_when_storing(Span.from_otel_proto(span)))) for span in sent}
    assert {span.name: added(span) for span in mlflow.get_trace("tr-" + trace.hex()).data.spans} == expected


def test_what_is_nested_too_deeply_is_kept_as_the_text_it_is(client, server, experiment):
    trace = bytes(range(5, 21))
    said = {"deep": ({"input.value": "[" * 100 + "]" * 100}, []),
            "wrapped": ({**GEMINI, "gen_ai.input.messages": "[" * 64 + "]" * 64}, [])}
    assert send(server, experiment, spans_that_say(trace, said).SerializeToString()).status_code == 200
    read = mlflow.get_trace("tr-" + trace.hex()).data.spans
    kept = {span.name: {key: span.get_attribute(key) for key in said[span.name][0]} for span in read}
    assert kept == {name: attributes for name, (attributes, _) in said.items()}
