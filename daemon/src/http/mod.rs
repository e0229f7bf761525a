//! HTTP: who may ask, and which protocol answers.

pub(crate) mod mlflow;
