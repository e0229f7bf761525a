//! The webhooks of this device, kept in a file of its home that nobody else can read.
//!
//! They are configuration of the device and never synced: a receiver is told of what was done by way
//! of this device, and its secret stays here.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::delivery::{Delivery, Queue, Sender, uuid};
use super::event::{Event, Payload};
use crate::config::WebhookPolicy;
use crate::home::{Home, HomeError};

/// The most webhooks of a device.
const MAX_WEBHOOKS: usize = 1000;

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<Event>,
    pub(crate) description: Option<String>,
    pub(crate) active: bool,
    pub(crate) secret: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

/// A webhook to be created, or what of one to change.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookChange {
    pub(crate) name: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) events: Option<Vec<Event>>,
    pub(crate) description: Option<String>,
    pub(crate) active: Option<bool>,
    pub(crate) secret: Option<String>,
}

/// Why webhooks stay as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    #[error("a device can have at most {MAX_WEBHOOKS} webhooks")]
    TooMany,
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// The webhooks of this device.
#[derive(Debug)]
pub(crate) struct Webhooks {
    policy: WebhookPolicy,
    sender: Sender,
    /// None once the daemon stops.
    queue: Mutex<Option<Queue>>,
    /// The latest first.
    held: Mutex<Vec<Webhook>>,
}

impl Webhooks {
    /// Reads those of a home. Must be called on a tokio runtime.
    pub(crate) fn open(home: &Home, policy: WebhookPolicy) -> Result<Self, HomeError> {
        let sender = Sender::new(policy);
        let queue = Mutex::new(Some(Queue::start(sender.clone())));
        Ok(Self { policy, sender, queue, held: Mutex::new(home.webhooks()?) })
    }

    /// Where they may be sent.
    pub(crate) const fn policy(&self) -> WebhookPolicy {
        self.policy
    }

    /// What sends to them.
    pub(crate) const fn sender(&self) -> &Sender {
        &self.sender
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Webhook>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, the latest first.
    pub(crate) fn all(&self) -> Vec<Webhook> {
        self.held().clone()
    }

    /// One of them.
    pub(crate) fn get(&self, id: &str) -> Option<Webhook> {
        self.held().iter().find(|webhook| webhook.id == id).cloned()
    }

    /// Creates one. It is durable when this returns, as are changes of it.
    pub(crate) fn create(&self, home: &Home, new: WebhookChange) -> Result<Webhook, WebhookError> {
        let mut held = self.held();
        if held.len() >= MAX_WEBHOOKS {
            return Err(WebhookError::TooMany);
        }
        let now_ms = now_ms();
        let mut webhook = Webhook {
            id: uuid(rand::random()),
            name: String::new(),
            url: String::new(),
            events: Vec::new(),
            description: None,
            active: true,
            secret: None,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        webhook.change(new);
        let mut changed = held.clone();
        changed.insert(0, webhook.clone());
        home.set_webhooks(&changed)?;
        *held = changed;
        Ok(webhook)
    }

    /// Changes one, if it is there.
    pub(crate) fn update(
        &self,
        home: &Home,
        id: &str,
        change: WebhookChange,
    ) -> Result<Option<Webhook>, WebhookError> {
        let mut held = self.held();
        let mut changed = held.clone();
        let Some(webhook) = changed.iter_mut().find(|webhook| webhook.id == id) else {
            return Ok(None);
        };
        webhook.change(change);
        webhook.updated_ms = now_ms();
        let webhook = webhook.clone();
        home.set_webhooks(&changed)?;
        *held = changed;
        Ok(Some(webhook))
    }

    /// Deletes one; whether it was there.
    pub(crate) fn delete(&self, home: &Home, id: &str) -> Result<bool, WebhookError> {
        let mut held = self.held();
        let mut changed = held.clone();
        changed.retain(|webhook| webhook.id != id);
        if changed.len() == held.len() {
            return Ok(false);
        }
        home.set_webhooks(&changed)?;
        *held = changed;
        Ok(true)
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        !self.held().is_empty()
    }

    /// Tells those that want to know of an event.
    pub(crate) fn announce(&self, event: Event, data: &Payload) {
        let held = self.held();
        let wanted = held.iter();
        let wanted = wanted.filter(|webhook| webhook.active && webhook.events.contains(&event));
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        for webhook in wanted {
            queue.push(Delivery { webhook: webhook.clone(), event, data: data.clone() });
        }
    }

    /// Lets what is queued be sent, for a while; then tells nobody of anything.
    pub(crate) async fn stop(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue {
            queue.stop().await;
        }
    }
}

impl Webhook {
    fn change(&mut self, change: WebhookChange) {
        let WebhookChange { name, url, events, description, active, secret } = change;
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.url = url.unwrap_or_else(|| std::mem::take(&mut self.url));
        self.events = events.unwrap_or_else(|| std::mem::take(&mut self.events));
        // Empty takes away.
        let set = |held: &mut Option<String>, new: Option<String>| {
            if let Some(new) = new {
                *held = Some(new).filter(|text| !text.is_empty());
            }
        };
        set(&mut self.description, description);
        set(&mut self.secret, secret);
        self.active = active.unwrap_or(self.active);
    }
}

fn now_ms() -> i64 {
    crate::now().0 as i64
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::event::text;
    use super::*;

    fn named(name: &str, url: &str, events: Vec<Event>) -> WebhookChange {
        WebhookChange {
            name: Some(name.to_owned()),
            url: Some(url.to_owned()),
            events: Some(events),
            ..WebhookChange::default()
        }
    }

    #[tokio::test]
    async fn only_those_that_want_to_know_are_told_and_only_while_active() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Home::open(folder.path()).expect("a home");
        let receiver = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", receiver.local_addr().expect("an address"));
        let webhooks = Webhooks::open(&home, WebhookPolicy::Any).expect("none yet");
        let create = |name: &str, events| {
            webhooks.create(&home, named(name, &url, events)).expect("created")
        };
        create("other", vec![Event::PromptCreated]);
        let silent = create("silent", vec![Event::ModelCreated]);
        let change = WebhookChange { active: Some(false), ..WebhookChange::default() };
        webhooks.update(&home, &silent.id, change).expect("kept").expect("there");
        create("told", vec![Event::ModelCreated, Event::PromptCreated]);
        webhooks.announce(Event::VersionCreated, &Payload::from([]));
        webhooks.announce(Event::ModelCreated, &Payload::from([text("name", "fraud")]));
        let (mut stream, _) = receiver.accept().await.expect("a delivery");
        let mut request = Vec::new();
        while !String::from_utf8_lossy(&request).ends_with('}') {
            let read = stream.read_buf(&mut request).await.expect("a request");
            assert_ne!(read, 0, "the request ends early");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("an answer");
        let text = String::from_utf8(request).expect("text");
        assert!(
            text.contains("\"entity\":\"registered_model\"") && text.contains("fraud"),
            "{text}"
        );
        // One was told; stopping waits for no other.
        webhooks.stop().await;
        webhooks.announce(Event::ModelCreated, &Payload::from([]));
        drop(receiver);
        let again = Webhooks::open(&home, WebhookPolicy::Any).expect("three");
        assert_eq!(again.all(), webhooks.all());
    }
}
