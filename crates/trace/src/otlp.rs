//! Spans as an `ExportTraceServiceRequest` of OTLP, and what the receiver says of them.
//!
//! Must never know how they travel.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use crate::span::{Boxed, Kind, Open, Value};

/// W3C trace flags: sampled. What else OTLP has in the flags is not known here and left at 0.
const SAMPLED: u32 = 1;

/// Who sends spans.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// The node's name, which is `service.instance.id`.
    pub(crate) node: String,
    /// The build.
    pub(crate) version: &'static str,
}

/// The request with these spans, in protobuf.
pub(crate) fn encode(sender: &Sender, spans: Vec<Boxed>) -> Vec<u8> {
    let text = |text: &str| Value::Id(text.to_owned());
    let attributes = [
        ("service.name", Value::Word("hubbub")),
        ("service.instance.id", text(&sender.node)),
        ("service.version", Value::Word(sender.version)),
    ];
    let resource =
        Resource { attributes: attributes.map(|(key, value)| attribute(key, value)).into(), ..Default::default() };
    let scope =
        InstrumentationScope { name: "hubbub".to_owned(), version: sender.version.to_owned(), ..Default::default() };
    let spans = spans.into_iter().map(|open| span(*open)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How many spans the receiver has turned down, of those it was given; an answer that cannot be read turns none down.
pub(crate) fn rejected(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

fn span(open: Open) -> Span {
    let kind = match open.kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    };
    let status = open.failed.map(|why| Status { message: why.to_owned(), code: StatusCode::Error.into() });
    Span {
        trace_id: open.context.trace().to_be_bytes().into(),
        span_id: open.context.span().to_be_bytes().into(),
        parent_span_id: open.parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().into()),
        flags: SAMPLED,
        name: open.name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(open.started),
        end_time_unix_nano: nanos(open.ended),
        attributes: open.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        status,
        ..Default::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Number(number) => any_value::Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)),
        Value::Word(word) => any_value::Value::StringValue(word.to_owned()),
        Value::Id(id) => any_value::Value::StringValue(id),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
