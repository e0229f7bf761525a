//! Sending: signed as MLflow signs, tried again a few times, and never in the way of a write.
//!
//! A delivery goes into a queue and is forgotten by whoever caused it. When the queue is full it is
//! dropped, and the log says so: a receiver that is down must not fill this machine's memory.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use ring::hmac;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::event::{Event, Payload};
use super::store::Webhook;
use super::target::{self, Resolver, TargetError};
use crate::config::WebhookPolicy;

/// Deliveries that wait for their turn.
const QUEUE: usize = 1024;
/// Deliveries under way at once.
const AT_ONCE: usize = 10;
/// How often a delivery is tried again.
const RETRIES: u32 = 3;
/// How long is waited before the first further try; before each further one twice as long.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest wait before a further try, whatever the receiver asks for.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a receiver's answer to a test is shown.
pub(crate) const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long deliveries may go on when the daemon stops.
const GRACE: Duration = Duration::from_secs(5);

/// Something to be sent to a webhook.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) webhook: Webhook,
    pub(crate) event: Event,
    pub(crate) data: Payload,
}

/// What a receiver reads.
#[derive(Serialize)]
struct Body<'a> {
    entity: &'static str,
    action: &'static str,
    timestamp: String,
    data: &'a Payload,
}

/// Why something was not delivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the receiver could not be reached")]
    Http(#[from] reqwest::Error),
}

/// What sends.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    client: Client,
    policy: WebhookPolicy,
}

impl Sender {
    pub(crate) fn new(policy: WebhookPolicy) -> Self {
        // Another part of the process may have chosen it first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // No redirects and no proxy: either would lead elsewhere than where the check was made.
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .dns_resolver(Resolver::shared(policy))
            .build()
            .expect("a client with these settings can be made");
        Self { client, policy }
    }

    /// Sends once.
    pub(crate) async fn send(&self, delivery: &Delivery) -> Result<Response, DeliveryError> {
        let url = target::parse(&delivery.webhook.url, self.policy)?;
        let (entity, action) = delivery.event.words();
        let now = jiff::Timestamp::now();
        let timestamp = now.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
        let body = Body { entity, action, timestamp, data: &delivery.data };
        let body = serde_json::to_string(&body).expect("an event is plain data");
        let id = uuid(rand::random());
        let timestamp = now.as_second().to_string();
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("X-MLflow-Delivery-Id", &id)
            .header("X-MLflow-Timestamp", &timestamp);
        if let Some(secret) = &delivery.webhook.secret {
            let signature = signature(secret, &id, &timestamp, &body);
            request = request.header("X-MLflow-Signature", signature);
        }
        Ok(request.body(body).send().await?)
    }

    /// Sends, and tries again where that may help.
    async fn send_patiently(&self, delivery: &Delivery) -> Result<StatusCode, DeliveryError> {
        let mut delay = RETRY_DELAY;
        let mut left = RETRIES;
        loop {
            let sent = self.send(delivery).await;
            let again = match &sent {
                Ok(response) => may_pass(response.status()),
                Err(DeliveryError::Http(_)) => true,
                Err(DeliveryError::Target(_)) => false,
            };
            if !again || left == 0 {
                return sent.map(|response| response.status());
            }
            left -= 1;
            let asked = sent.ok().as_ref().and_then(retry_after);
            let jitter = Duration::from_millis(rand::random_range(0..1000));
            tokio::time::sleep(asked.unwrap_or(delay + jitter).min(MAX_RETRY_DELAY)).await;
            delay *= 2;
        }
    }
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// `v1,` and the base64 of the HMAC-SHA256 of the delivery's id, its time and its body.
fn signature(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

/// Random bytes as a UUID of version 4 is written.
pub(crate) fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The queue of deliveries, and the task that empties it.
#[derive(Debug)]
pub(crate) struct Queue {
    deliveries: mpsc::Sender<Delivery>,
    worker: JoinHandle<()>,
}

impl Queue {
    /// Must be called on a tokio runtime.
    pub(crate) fn start(sender: Sender) -> Self {
        let (deliveries, waiting) = mpsc::channel(QUEUE);
        Self { deliveries, worker: tokio::spawn(work(sender, waiting)) }
    }

    /// Queues a delivery, unless too many wait already.
    pub(crate) fn push(&self, delivery: Delivery) {
        if let Err(error) = self.deliveries.try_send(delivery) {
            tracing::warn!("a webhook is not told of an event: {error}");
        }
    }

    /// Lets what is queued be sent, for a while.
    pub(crate) async fn stop(self) {
        drop(self.deliveries);
        if tokio::time::timeout(GRACE, self.worker).await.is_err() {
            tracing::warn!("webhooks were not told of everything before the daemon stopped");
        }
    }
}

async fn work(sender: Sender, mut waiting: mpsc::Receiver<Delivery>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    while let Some(delivery) = waiting.recv().await {
        let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
        while under_way.try_join_next().is_some() {}
        let sender = sender.clone();
        under_way.spawn(async move {
            deliver(&sender, &delivery).await;
            drop(place);
        });
    }
    while under_way.join_next().await.is_some() {}
}

async fn deliver(sender: &Sender, delivery: &Delivery) {
    let name = &delivery.webhook.name;
    let event = String::from(delivery.event);
    match sender.send_patiently(delivery).await {
        Ok(status) if status.is_success() => tracing::debug!("webhook {name} was told of {event}"),
        Ok(status) => tracing::warn!("webhook {name} answered {status} to {event}"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            tracing::warn!("webhook {name} was not told of {event}: {error}{cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_mlflows() {
        // By `mlflow.webhooks.delivery._generate_hmac_signature` of 3.17.2.
        let signature = signature("secret", "some-id", "1700000000", "{\"a\": 1}");
        assert_eq!(signature, "v1,m7g6FuQfZoHtpWyyeM31SHwYEbj7BE4uRRbHiP4tgPc=");
    }

    #[test]
    fn an_id_is_a_uuid() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
