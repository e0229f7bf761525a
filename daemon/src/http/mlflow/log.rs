//! Logging to a run: metrics, params and tags, one at a time or in a batch.
//!
//! This is the hot path. A well-formed body is read straight into borrowed fields; only one that
//! does not fit is read again as a [`Message`], which is lenient and knows what to complain of.
//! Both ways end in one [`Batch`], so what is accepted and how it is checked cannot differ.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::action::{Action, LogBatch, Refusal, RunChange};
use runmesh_core::rows::{KeyValue, Metric, MetricContext, Point};
use serde::{Deserialize, Deserializer, de};

use super::error::{ApiError, changed_param};
use super::limits::{self, missing_in};
use super::message::{Fields, JsonBody, Message, missing, number_from_text};
use super::render::{self, NOTE_TAG, RUN_NAME_TAG};
use super::{act, runs};
use crate::WriteError;
use crate::app::App;

/// A point as clients send it; alone, with its run, or in a batch.
#[derive(Debug, PartialEq, Deserialize)]
struct PointFields<'a> {
    #[serde(borrow, default, alias = "runId")]
    run_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(deserialize_with = "double")]
    value: f64,
    timestamp: i64,
    #[serde(default)]
    step: Option<i64>,
    #[serde(borrow, default, alias = "modelId")]
    model_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "datasetName")]
    dataset_name: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "datasetDigest")]
    dataset_digest: Option<Cow<'a, str>>,
}

/// A param or a tag as clients send it.
#[derive(Debug, PartialEq, Deserialize)]
struct PairFields<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
}

/// A batch as clients send it.
#[derive(Debug, PartialEq, Deserialize)]
struct Batch<'a> {
    #[serde(borrow, alias = "runId")]
    run_id: Cow<'a, str>,
    #[serde(borrow, default)]
    metrics: Vec<PointFields<'a>>,
    #[serde(borrow, default)]
    params: Vec<PairFields<'a>>,
    #[serde(borrow, default)]
    tags: Vec<PairFields<'a>>,
}

/// A number, or its text where JSON has no number for it.
fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Double;
    impl de::Visitor<'_> for Double {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            number_from_text(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Double)
}

impl<'a> PointFields<'a> {
    /// Reads a point; `absent` names a required field that is not there.
    fn read(fields: Fields<'a>, absent: impl Fn(&str) -> ApiError) -> Result<Self, ApiError> {
        let text = |name| Ok::<_, ApiError>(fields.text(name)?.map(Cow::Borrowed));
        Ok(Self {
            run_id: text("run_id")?,
            key: text("key")?.filter(|key| !key.is_empty()).ok_or_else(|| absent("key"))?,
            value: fields.number("value")?.ok_or_else(|| absent("value"))?,
            timestamp: fields.integer("timestamp")?.ok_or_else(|| absent("timestamp"))?,
            step: fields.integer("step")?,
            model_id: text("model_id")?,
            dataset_name: text("dataset_name")?,
            dataset_digest: text("dataset_digest")?,
        })
    }

    fn into_metric(self) -> Metric {
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned).unwrap_or_default();
        let step = self.step.unwrap_or_default();
        Metric {
            point: Point { step, timestamp_ms: self.timestamp, value: self.value },
            key: self.key.into_owned(),
            context: MetricContext {
                model_id: owned(self.model_id),
                dataset_name: owned(self.dataset_name),
                dataset_digest: owned(self.dataset_digest),
            },
        }
    }
}

impl<'a> PairFields<'a> {
    fn read(fields: Fields<'a>, absent: impl Fn(&str) -> ApiError) -> Result<Self, ApiError> {
        let key = fields.text("key")?.filter(|key| !key.is_empty()).ok_or_else(|| absent("key"))?;
        let value = fields.text("value")?.map(Cow::Borrowed);
        Ok(Self { key: Cow::Borrowed(key), value })
    }

    fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// Reads a list of messages, each by `read`.
fn list<'a, T>(
    fields: Fields<'a>,
    name: &'static str,
    read: impl Fn(Fields<'a>, &dyn Fn(&str) -> ApiError) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let items = fields.messages(name)?.into_iter().enumerate();
    items.map(|(at, item)| read(item, &|field| missing_in(name, at, field))).collect()
}

impl<'a> Batch<'a> {
    /// The batch of a body that is as it should be.
    fn read_plain(body: &'a [u8]) -> Option<Self> {
        let batch: Self = serde_json::from_slice(body).ok()?;
        let keyed = |pairs: &[PairFields<'_>]| pairs.iter().all(|pair| !pair.key.is_empty());
        let named = batch.metrics.iter().all(|point| !point.key.is_empty());
        (named && keyed(&batch.params) && keyed(&batch.tags) && !batch.run_id.is_empty())
            .then_some(batch)
    }

    /// The batch of any body, or what is wrong with it.
    fn read(fields: Fields<'a>) -> Result<Self, ApiError> {
        Ok(Self {
            run_id: Cow::Borrowed(fields.required_text("run_id")?),
            metrics: list(fields, "metrics", |item, absent| PointFields::read(item, absent))?,
            params: list(fields, "params", |item, absent| PairFields::read(item, absent))?,
            tags: list(fields, "tags", |item, absent| PairFields::read(item, absent))?,
        })
    }

    /// Checks everything that MLflow checks, in its order, and cuts what it cuts.
    fn check(self) -> Result<LogBatch, ApiError> {
        limits::check_run_id(&self.run_id)?;
        for (at, point) in self.metrics.iter().enumerate() {
            let path = |field: &str| format!("metrics[{at}].{field}");
            limits::check_metric(&path, &point.key, point.value, point.timestamp)?;
        }
        let params = checked(&self.params, "params", limits::checked_param)?;
        let tags = checked(&self.tags, "tags", limits::checked_tag)?;
        limits::check_batch_sizes(self.metrics.len(), params.len(), tags.len())?;
        limits::check_params_unique(params.iter().map(|param| param.key.as_str()))?;
        let (tags, change) = split_tags(tags);
        let metrics = self.metrics.into_iter().map(PointFields::into_metric).collect();
        Ok(LogBatch { run: runs::parse_id(&self.run_id)?, metrics, params, tags, change })
    }
}

type CheckPair = for<'a> fn(&dyn Fn(&str) -> String, &str, &'a str) -> Result<&'a str, ApiError>;

fn checked(
    pairs: &[PairFields<'_>],
    name: &'static str,
    check: CheckPair,
) -> Result<Vec<KeyValue>, ApiError> {
    let pairs = pairs.iter().enumerate();
    let pairs = pairs.map(|(at, pair)| {
        let path = |field: &str| format!("{name}[{at}].{field}");
        let value = check(&path, &pair.key, pair.value())?;
        Ok(KeyValue::new(&*pair.key, value))
    });
    pairs.collect()
}

/// Takes out of a run's tags those that stand for fields of a run. An empty name changes nothing.
pub(super) fn split_tags(tags: Vec<KeyValue>) -> (Vec<KeyValue>, RunChange) {
    let mut change = RunChange::default();
    let mut rest = tags;
    rest.retain_mut(|tag| match tag.key.as_str() {
        RUN_NAME_TAG => {
            let name = std::mem::take(&mut tag.value);
            change.name = Some(name).filter(|name| !name.is_empty()).or(change.name.take());
            false
        }
        NOTE_TAG => {
            change.description = Some(std::mem::take(&mut tag.value));
            false
        }
        _ => true,
    });
    (rest, change)
}

pub(super) async fn log_batch(
    State(app): State<Arc<App>>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    act(&app, Action::Log(read_batch(&body)?)).await?;
    Ok(render::done())
}

/// What the body of a batch asks for.
pub(super) fn read_batch(body: &[u8]) -> Result<LogBatch, ApiError> {
    match Batch::read_plain(body) {
        Some(batch) => batch.check(),
        None => Batch::read(Message::from_json(body).fields()).and_then(Batch::check),
    }
}

pub(super) async fn log_metric(
    State(app): State<Arc<App>>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    act(&app, Action::Log(read_metric(&body)?)).await?;
    Ok(render::done())
}

fn read_metric(body: &[u8]) -> Result<LogBatch, ApiError> {
    if let Ok(mut point) = serde_json::from_slice::<PointFields<'_>>(body)
        && !point.key.is_empty()
        && let Some(run_id) = point.run_id.take().filter(|id| !id.is_empty())
    {
        return check_single(&run_id, point);
    }
    let message = Message::from_json(body);
    let fields = message.fields();
    check_single(fields.run_id()?, PointFields::read(fields, missing)?)
}

fn check_single(run_id: &str, point: PointFields<'_>) -> Result<LogBatch, ApiError> {
    limits::check_metric(&str::to_owned, &point.key, point.value, point.timestamp)?;
    let mut batch = empty_batch(run_id)?;
    batch.metrics.push(point.into_metric());
    Ok(batch)
}

fn empty_batch(run_id: &str) -> Result<LogBatch, ApiError> {
    let (metrics, params, tags) = Default::default();
    let run = runs::parse_id(run_id)?;
    Ok(LogBatch { run, metrics, params, tags, change: RunChange::default() })
}

pub(super) async fn log_param(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let run_id = fields.run_id()?;
    let key = fields.required_text("key")?;
    let value = fields.text("value")?.unwrap_or_default();
    let value = limits::checked_param(&str::to_owned, key, value)?;
    let mut batch = empty_batch(run_id)?;
    batch.params.push(KeyValue::new(key, value));
    match app.workspace.act(Action::Log(batch)).await {
        Ok(_) => Ok(render::done()),
        Err(WriteError::Refused(Refusal::ParamsChanged { run, changes })) => {
            let change = changes.first().expect("a param was refused because it changed");
            Err(changed_param(run, change))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn set_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let run_id = fields.run_id()?;
    let key = fields.required_text("key")?;
    let value = fields.text("value")?.unwrap_or_default();
    let value = limits::checked_tag(&str::to_owned, key, value)?;
    let mut batch = empty_batch(run_id)?;
    (batch.tags, batch.change) = split_tags(vec![KeyValue::new(key, value)]);
    act(&app, Action::Log(batch)).await?;
    Ok(render::done())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const RUN: &str = "abababababababababababababababab";

    /// What the lenient way makes of a body.
    fn read_slowly(body: &[u8]) -> Result<LogBatch, ApiError> {
        Batch::read(Message::from_json(body).fields()).and_then(Batch::check)
    }

    fn batch(body: Value) -> Result<LogBatch, ApiError> {
        read_batch(body.to_string().as_bytes())
    }

    #[test]
    fn a_batch_is_read_whole() {
        let batch = batch(json!({
            "run_id": RUN,
            "metrics": [
                {"key": "m", "value": 1, "timestamp": 5, "step": -2, "model_id": "m-1", "run_id": "x"},
                {"key": "n", "value": "NaN", "timestamp": "6"},
            ],
            "params": [{"key": "p", "value": "é"}, {"key": "q"}],
            "tags": [{"key": "t", "value": "1"}, {"key": RUN_NAME_TAG, "value": "calm"},
                     {"key": NOTE_TAG, "value": "note"}],
        }));
        let batch = batch.expect("a batch");
        let first = Point { step: -2, timestamp_ms: 5, value: 1.0 };
        assert_eq!((batch.metrics[0].point, batch.metrics[0].context.model_id.as_str()), {
            (first, "m-1")
        });
        assert!(batch.metrics[1].point.value.is_nan());
        assert_eq!(batch.params, [KeyValue::new("p", "é"), KeyValue::new("q", "")]);
        assert_eq!(batch.tags, [KeyValue::new("t", "1")]);
        assert_eq!(batch.change.name.as_deref(), Some("calm"));
        assert_eq!(batch.change.description.as_deref(), Some("note"));
    }

    #[test]
    fn what_is_wrong_with_a_batch_is_named() {
        let of_points = |points: Value| json!({"run_id": RUN, "metrics": points});
        let point = json!({"key": "m", "value": 1, "timestamp": 1});
        for (body, message) in [
            (json!({}), "Missing value for required parameter 'run_id'."),
            (of_points(json!([{}])), "Missing value for required parameter 'metrics[0].key'."),
            (of_points(json!([point, {"key": "m", "timestamp": 1}])), "'metrics[1].value'."),
            (of_points(json!("x")), "Invalid value \"x\" for parameter 'metrics' supplied"),
            (of_points(json!([7])), "Invalid value [7] for parameter 'metrics' supplied"),
            (json!({"run_id": RUN, "tags": [{"key": ""}]}), "'tags[0].key'."),
            (json!({"run_id": RUN, "params": [{"key": "a#"}]}), "for parameter 'params[0].key'"),
            (json!({"run_id": "#"}), "Invalid value \"#\" for parameter 'run_id' supplied."),
            (json!({"run_id": "abc"}), "Run with id=abc not found"),
        ] {
            let error = batch(body.clone()).expect_err("wrong");
            assert!(error.message.contains(message), "{body}: {error}");
        }
    }

    /// JSON that looks like a batch, but for a few things.
    fn almost_a_batch() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z/.#é\"\\\\]{0,4}".prop_map(Value::from),
            prop::sample::select(vec!["NaN", "-Infinity", "12", "1e5", RUN]).prop_map(Value::from),
            Just(json!([{"key": []}])),
        ];
        let names = vec![
            "key",
            "value",
            "timestamp",
            "step",
            "model_id",
            "modelId",
            "run_id",
            "runId",
            "dataset_name",
            "unknown",
        ];
        let element = prop::collection::vec((prop::sample::select(names), scalar.clone()), 0..6);
        let element = (any::<bool>(), element).prop_map(|(whole, fields)| {
            let mut element = json!({"key": "k", "value": 1.5, "timestamp": 7});
            if !whole {
                element = json!({});
            }
            for (name, value) in fields {
                element[name] = value;
            }
            element
        });
        let elements = prop_oneof![
            8 => prop::collection::vec(element, 0..3).prop_map(Value::from),
            1 => scalar.clone(),
        ];
        let lists = prop::sample::select(vec!["metrics", "params", "tags"]);
        let run = prop_oneof![4 => Just(Value::from(RUN)), 1 => scalar];
        (run, prop::collection::vec((lists, elements), 0..3)).prop_map(|(run, lists)| {
            let mut batch = json!({"run_id": run});
            for (name, elements) in lists {
                batch[name] = elements;
            }
            batch
        })
    }

    proptest! {
        #[test]
        fn the_fast_way_accepts_nothing_else_than_the_lenient_one(body in almost_a_batch()) {
            let body = body.to_string();
            // NaN is not equal to itself, so the texts are compared.
            let [fast, slow] = [read_batch(body.as_bytes()), read_slowly(body.as_bytes())];
            prop_assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
        }

        #[test]
        fn a_single_point_is_read_as_one_in_a_batch(body in almost_a_batch()) {
            let Some(point) = body["metrics"].get(0).filter(|point| point.is_object()) else {
                return Ok(());
            };
            let mut point = point.clone();
            point["run_id"] = Value::from(RUN);
            point["runId"].take();
            point.as_object_mut().expect("an object").remove("runId");
            let single = read_metric(point.to_string().as_bytes());
            let batch = batch(json!({"run_id": RUN, "metrics": [point]}));
            prop_assert_eq!(single.is_ok(), batch.is_ok(), "{:?} {:?}", single, batch);
        }

        #[test]
        fn no_bytes_are_too_strange(body: Vec<u8>) {
            let _ = (read_batch(&body), read_metric(&body));
        }
    }
}
