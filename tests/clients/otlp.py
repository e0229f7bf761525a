"""Spans as OpenTelemetry's exporters send them."""

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue


def attribute(key: str, of) -> KeyValue:
    return KeyValue(key=key, value=value(of))


def value(of) -> AnyValue:
    if isinstance(of, list):
        return AnyValue(array_value=ArrayValue(values=map(value, of)))
    return AnyValue(int_value=of) if isinstance(of, int) else AnyValue(string_value=of)


def export_request(trace: bytes, *spans: tuple[bytes, bytes, str], ended: bool = True) -> ExportTraceServiceRequest:
    """A request as exporters send it: (id, parent's id or nothing, name) of each span."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(attribute("service.name", "shop"))
    resource.resource.attributes.append(attribute("telemetry.sdk.language", "python"))
    for at, (span_id, parent, name) in enumerate(spans):
        span = resource.scope_spans.add().spans.add()
        span.trace_id, span.span_id, span.parent_span_id, span.name = trace, span_id, parent, name
        span.start_time_unix_nano = 1_800_000_000_000_000_000 + at * 1_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000 if ended else 0
        span.attributes.append(attribute("session.id", "s-9"))
        span.attributes.append(attribute("user.id", "bob"))
        span.attributes.append(attribute("gen_ai.request.model", "tiny"))
        span.attributes.append(attribute("gen_ai.usage.input_tokens", 10))
        span.attributes.append(attribute("gen_ai.usage.output_tokens", 5))
        if not parent:
            span.attributes.append(attribute("input.value", "what?"))
            span.attributes.append(attribute("mlflow.traceTag.team", "risk"))
    return request


def send(server: str, experiment: str, body: bytes, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": experiment, **named}
    return requests.post(f"{server}/v1/traces", data=body, headers=given, timeout=60)
