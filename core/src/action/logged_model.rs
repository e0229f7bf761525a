//! What may be asked of logged models.

use crate::ids::{DocumentId, ExperimentId};
use crate::rows::{KeyValue, ModelStatus};

/// A logged model to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLoggedModel {
    /// Its document, with a random id.
    pub document: DocumentId,
    /// Its experiment, which must be active.
    pub experiment: ExperimentId,
    /// Its name.
    pub name: String,
    /// What kind of model it is, as the client says.
    pub model_type: String,
    /// The run that produced it, as the client says: it may be one that has not arrived here.
    pub source_run: String,
    /// Its first params. A key given twice must have one value.
    pub params: Vec<KeyValue>,
    /// Its first tags. Of one key given twice, the last counts.
    pub tags: Vec<KeyValue>,
}

/// A change of a logged model. One that is deleted can still be changed, as in MLflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedModelChange {
    /// Says how far it has come.
    SetStatus(ModelStatus),
    /// Adds params, all or none. One that is set already must have the same value.
    LogParams(Vec<KeyValue>),
    /// Sets tags. Of one key given twice, the last counts.
    SetTags(Vec<KeyValue>),
    /// Deletes a tag, which must be there.
    DeleteTag(String),
    /// Deletes it; doing so twice is no error.
    Delete,
}
