//! Where a version may come from, by the rules of MLflow 3.18.
//!
//! What a version names is served to whoever may read the registry. So its source must lie where the
//! run or the logged model that it claims to come from has its files, or outside of this server.

use runmesh_core::registry::{Model, Registry, Stage, Version};
use runmesh_core::rows::LoggedModel;
use runmesh_core::store::Snapshot;

use super::super::error::{ApiError, ErrorCode};
use super::super::runs::{self, Locations};
use super::super::{logged_models, python, render};
use super::{PROMPT_TAG, model_of, no_such_version, version_of};

const PROXY: &str = "mlflow-artifacts";
/// The path at which a proxy serves artifacts.
const PROXY_ROUTE: [&str; 4] = ["api", "2.0", "mlflow-artifacts", "artifacts"];
/// A source that still changes after so many decodings is an attack.
const MAX_DECODINGS: usize = 10;

/// Where a version comes from, once checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) source: String,
    /// Where its files are, if the source does not say so.
    pub(super) storage: Option<String>,
    pub(super) run_id: String,
    pub(super) logged_model: String,
}

/// Reads and checks where a version comes from. What is `None` was not given.
pub(super) fn origin(
    snapshot: &Snapshot,
    source: &str,
    run_id: Option<String>,
    logged_model: Option<String>,
) -> Result<Origin, ApiError> {
    let mut origin = match registered_source(snapshot, source)? {
        Some((name, version)) => inherited(&name, &version, source, run_id, logged_model)?,
        None => Origin {
            source: source.to_owned(),
            storage: None,
            run_id: run_id.unwrap_or_default(),
            logged_model: logged_model.unwrap_or_default(),
        },
    };
    check(snapshot, &origin)?;
    if let Some(id) = model_uri(&origin.source).and_then(logged_model_of) {
        let (location, source_run) = logged_model_at(snapshot, &id, &origin.source)?;
        origin.storage = Some(location);
        if origin.run_id.is_empty() {
            origin.run_id = source_run;
        }
    } else if origin.run_id.is_empty() && !origin.logged_model.is_empty() {
        let (_, source_run) = logged_model_at(snapshot, &origin.logged_model, &origin.source)?;
        origin.run_id = source_run;
    }
    Ok(origin)
}

/// What follows `models:/`.
fn model_uri(source: &str) -> Option<&str> {
    source.strip_prefix("models:").map(|path| path.trim_start_matches('/'))
}

/// The logged model of what follows `models:/`.
fn logged_model_of(path: &str) -> Option<String> {
    (!path.is_empty() && !path.contains(['/', '@'])).then(|| path.to_owned())
}

fn invalid(source: &str, parameter: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid model version source: '{source}'. The {parameter} request parameter must identify \
         the resource that contains the source."
    ))
}

/// The version that a source names: `models:/name/3`, `/latest`, `/Stage` or `name@alias`.
fn registered_source(
    snapshot: &Snapshot,
    source: &str,
) -> Result<Option<(String, Version)>, ApiError> {
    let Some(rest) = source.strip_prefix("models:") else { return Ok(None) };
    if rest.starts_with("//") && !rest.starts_with("///") {
        return Err(ApiError::invalid(format!(
            "Invalid model version source: '{source}'. Registered model sources must use the active \
             model registry."
        )));
    }
    let path = rest.trim_start_matches('/');
    if !rest.starts_with('/') || path.is_empty() {
        return Err(invalid(source, "model_id"));
    }
    if logged_model_of(path).is_some() {
        return Ok(None);
    }
    let parts: Vec<&str> = path.split('/').collect();
    let (name, suffix) = match parts.as_slice() {
        [name, suffix] if !name.trim().is_empty() && !suffix.trim().is_empty() => (*name, *suffix),
        [alias] => {
            let (name, alias) =
                alias.rsplit_once('@').ok_or_else(|| invalid(source, "model_id"))?;
            let version = aliased(snapshot, source, name, alias)?;
            return Ok(Some((name.to_owned(), version)));
        }
        _ => return Err(invalid(source, "model_id")),
    };
    let model = model(snapshot, source, name)?;
    let mut registry = Registry::new(snapshot);
    if let Ok(number) = suffix.parse() {
        let version = version_of(snapshot, &model, number)?;
        return Ok(Some((name.to_owned(), version)));
    }
    let latest = if suffix.eq_ignore_ascii_case("latest") {
        registry.latest(&model.id())?.into_iter().max_by_key(Version::number)
    } else {
        let stage = Stage::from_word(suffix).ok_or_else(|| invalid(source, "model_id"))?;
        registry.latest_in(&model.id(), stage)?
    };
    let latest = latest.ok_or_else(|| no_such_version(name, suffix))?;
    // The number must not mean another version here.
    let version = version_of(snapshot, &model, latest.number())?;
    Ok(Some((name.to_owned(), version)))
}

fn model(snapshot: &Snapshot, source: &str, name: &str) -> Result<Model, ApiError> {
    let model = model_of(snapshot, name)?;
    if model.tag(PROMPT_TAG).is_some_and(|tag| tag.eq_ignore_ascii_case("true")) {
        return Err(ApiError::invalid(format!(
            "Invalid model version source: '{source}'. Prompt versions cannot be used as model \
             version sources."
        )));
    }
    Ok(model)
}

fn aliased(
    snapshot: &Snapshot,
    source: &str,
    name: &str,
    alias: &str,
) -> Result<Version, ApiError> {
    let model = model(snapshot, source, name)?;
    let version = Registry::new(snapshot).aliased(&model, alias)?;
    version.ok_or_else(|| ApiError::invalid(format!("Registered model alias {alias} not found.")))
}

/// A version that comes from another has its run and its logged model.
fn inherited(
    name: &str,
    version: &Version,
    source: &str,
    run_id: Option<String>,
    logged_model: Option<String>,
) -> Result<Origin, ApiError> {
    let differs = |given: &Option<String>, held: &str| given.as_ref().is_some_and(|id| id != held);
    if differs(&run_id, version.run_id()) || differs(&logged_model, version.logged_model()) {
        return Err(ApiError::invalid(format!(
            "Invalid model version source: '{source}'. The run_id and model_id request parameters \
             must match the referenced model version."
        )));
    }
    Ok(Origin {
        source: format!("models:/{name}/{}", version.number()),
        storage: Some(version.storage().to_owned()),
        run_id: version.run_id().to_owned(),
        logged_model: version.logged_model().to_owned(),
    })
}

/// Where a logged model is, and the run that produced it.
fn logged_model_at(
    snapshot: &Snapshot,
    id: &str,
    source: &str,
) -> Result<(String, String), ApiError> {
    let found = logged_models::parse_id(id)
        .and_then(|document| logged_models::find(snapshot, &document, false));
    let row = found.map_err(|error| {
        ApiError::new(
            error.code,
            format!(
                "Unable to fetch model from model URI source artifact location '{source}'.Error: \
                 {error}"
            ),
        )
    })?;
    let location = logged_models::location(snapshot, &row)?;
    let run = LoggedModel::of(&row).map(|model| model.source_run().to_owned());
    Ok((location, run.unwrap_or_default()))
}

fn check(snapshot: &Snapshot, origin: &Origin) -> Result<(), ApiError> {
    let Origin { source, run_id, logged_model, .. } = origin;
    let (parameter, id) = match logged_model.as_str() {
        "" => ("run_id", run_id),
        id => ("model_id", &id.to_owned()),
    };
    if is_local(source) {
        return check_local(snapshot, source, parameter, id);
    }
    check_has_no_dots(source)?;
    let scheme = source.split_once(':').map_or("", |(scheme, _)| scheme);
    let named = source.strip_prefix("runs:").map(|path| path.trim_start_matches('/'));
    if let Some(named) = named {
        let run = named.split('/').next().unwrap_or_default();
        let host = source.starts_with("runs://");
        return match parameter == "run_id" && !run_id.is_empty() && run == run_id && !host {
            true => Ok(()),
            false => Err(invalid(source, parameter)),
        };
    }
    if let Some(id) = model_uri(source).and_then(logged_model_of) {
        return match id == *logged_model {
            true => Ok(()),
            false => Err(invalid(source, "model_id")),
        };
    }
    let parts = UriParts::of(source);
    let is_proxied = parts.scheme == PROXY
        || (matches!(scheme, "http" | "https")
            && parts.path.windows(4).any(|at| at == PROXY_ROUTE));
    if is_proxied {
        let root = root_of(snapshot, parameter, id)?.ok_or_else(|| invalid(source, parameter))?;
        if !parts.is_within(&UriParts::of(&root)) {
            return Err(invalid(source, parameter));
        }
    }
    Ok(())
}

/// Where a run or a logged model has its artifacts; nothing if there is no such.
fn root_of(snapshot: &Snapshot, parameter: &str, id: &str) -> Result<Option<String>, ApiError> {
    if parameter == "model_id" {
        let Ok(document) = logged_models::parse_id(id) else { return Ok(None) };
        let row = logged_models::find(snapshot, &document, false).ok();
        return row.map(|row| logged_models::location(snapshot, &row)).transpose();
    }
    let Ok(id) = runs::parse_id(id) else { return Ok(None) };
    let Some(run) = snapshot.run(&id)? else { return Ok(None) };
    let mut locations = Locations::default();
    locations.add(snapshot, &run)?;
    Ok(Some(render::artifact_uri(&run, locations.of(&run))))
}

/// Whether a source is a path on this machine.
fn is_local(source: &str) -> bool {
    match source.split_once(':') {
        None => true,
        Some((scheme, _)) => {
            scheme.eq_ignore_ascii_case("file")
                || scheme.len() == 1
                || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        }
    }
}

fn local_path(uri: &str) -> String {
    let path = uri.strip_prefix("file:").unwrap_or(uri);
    let path = path.strip_prefix("//localhost").unwrap_or(path);
    let path = if path.starts_with("//") { path.trim_start_matches('/') } else { path };
    let path = if path.starts_with('/') || uri.starts_with("file:///") {
        format!("/{}", path.trim_start_matches('/'))
    } else {
        path.to_owned()
    };
    python::normpath(&path)
}

fn check_local(
    snapshot: &Snapshot,
    source: &str,
    parameter: &str,
    id: &str,
) -> Result<(), ApiError> {
    let mut shown = source.to_owned();
    if !id.is_empty() {
        let root = root_of(snapshot, parameter, id)?.ok_or_else(|| invalid(source, parameter))?;
        shown = local_path(source);
        let root = is_local(&root).then(|| local_path(&root));
        let inside = |root: &String| shown == *root || shown.starts_with(&format!("{root}/"));
        if root.as_ref().is_some_and(inside) {
            return Ok(());
        }
    }
    Err(ApiError::invalid(format!(
        "Invalid model version source: '{shown}'. To use a local path as a model version source, the \
         {parameter} request parameter has to be specified and the local path has to be contained \
         within the artifact directory of the run specified by the {parameter}."
    )))
}

/// Refuses what leads elsewhere once somebody decodes it.
fn check_has_no_dots(source: &str) -> Result<(), ApiError> {
    let refuse = || {
        ApiError::invalid(format!(
            "Invalid model version source: '{source}'. If supplying a source as an http, https, \
             local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be \
             provided without relative path references present. Please provide an absolute path."
        ))
    };
    let mut decoded = source.to_owned();
    for _ in 0..MAX_DECODINGS {
        let next = decode(&decoded).ok_or_else(refuse)?;
        if next == decoded {
            let path = decoded.split_once(':').map_or("", |(_, path)| path);
            let bad = |part: &str| matches!(part, "." | "..");
            let leads_away = path.contains(['\0', '\\']) || path.split('/').any(bad);
            return if leads_away { Err(refuse()) } else { Ok(()) };
        }
        decoded = next;
    }
    Err(refuse())
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// A URI taken apart, each part of its path decoded.
struct UriParts {
    scheme: String,
    authority: String,
    path: Vec<String>,
}

impl UriParts {
    fn of(uri: &str) -> Self {
        let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", rest),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let parts = path.split('/').filter(|part| !part.is_empty());
        Self {
            scheme: scheme.to_ascii_lowercase(),
            authority: authority.to_ascii_lowercase(),
            path: parts.map(|part| decode(part).unwrap_or_else(|| part.to_owned())).collect(),
        }
    }

    fn is_within(&self, root: &Self) -> bool {
        (&self.scheme, &self.authority) == (&root.scheme, &root.authority)
            && !root.path.is_empty()
            && self.path.starts_with(&root.path)
    }
}

/// The path in this server's proxy of where a version's files are.
pub(crate) fn proxy_path(snapshot: &Snapshot, storage: &str) -> Result<String, ApiError> {
    let of_run = storage.strip_prefix("runs:").map(|path| path.trim_start_matches('/'));
    let located = match of_run {
        Some(path) => {
            let (run, path) = path.split_once('/').unwrap_or((path, ""));
            let root = root_of(snapshot, "run_id", run)?.ok_or_else(|| runs::no_such(run))?;
            format!("{root}/{path}")
        }
        None => storage.to_owned(),
    };
    let parts = UriParts::of(&located);
    if parts.scheme == PROXY {
        return Ok(parts.path.join("/"));
    }
    let message = format!("The artifacts of this version are at {located}, not at this server.");
    Err(ApiError::new(ErrorCode::NotImplemented, message))
}
