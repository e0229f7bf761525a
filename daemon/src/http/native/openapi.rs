//! What this API is, in OpenAPI 3.1: `GET openapi.json`. What is asked and answered is described by the
//! types themselves.
//!
//! Invariant: every route is in it; a test compares it with the router's source.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use runmesh_core::api::{
    Artifact, AuditPage, AuditQuery, AuditReport, BundleReport, CollectRequest, Collected, Columns,
    ConflictInfo, Conflicts, Copies, CopyRequest, CreateWorkspace, Curve, CurveQuery, Diagnosis,
    ErrorBody, Experiment, ExperimentUpdate, ExportRequest, FoundRuns, GroupQuery, Groups, Held,
    Invitation, InviteRequest, JoinRequest, Joined, Joining, LeaveReport, LeaveWorkspace,
    LoggedModelDetails, Members, ModelDetails, ModelVersion, Named, NewExperiment, Peer, PinInfo,
    PinRequest, PromoteModel, PurgeRequest, Purged, PurgedRuns, ROOT, RecoveryTicket,
    RegisterModel, RegisteredModel, RemoveRequest, RenameRequest, RenameWorkspace, ResolveConflict,
    ResolveModel, RevokeRequest, RoleRequest, RunDetails, RunSearch, RunsUpdate, SavedView, Status,
    SyncReport, SyncRequest, TablePage, TableQuery, Transfers, UseWorkspace, VersionOfRun,
    ViewUpdate, WorkspaceInfo,
};
use runmesh_core::ids::DeviceId;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required,
    ResponseBuilder, Schema, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const EVENTS: &str = "text/event-stream";
/// The name under which the home's token stands in the document.
const TOKEN: &str = "token";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    describe()
        .to_json()
        .expect("a description has no keys but texts, and no numbers but finite ones")
});

pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(JSON))], DOCUMENT.as_str()).into_response()
}

/// What a body is: its content type, and its schema if it is JSON.
type Body = (&'static str, Option<RefOr<Schema>>);

/// One operation as it is being described.
struct Operation<'a> {
    api: &'a mut Api,
    method: HttpMethod,
    path: &'static str,
    said: &'static str,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    managed: bool,
}

/// The description as far as it has come.
#[derive(Default)]
struct Api {
    paths: Paths,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Api {
    fn get(&mut self, path: &'static str, said: &'static str) -> Operation<'_> {
        self.operation(HttpMethod::Get, path, said)
    }

    fn post(&mut self, path: &'static str, said: &'static str) -> Operation<'_> {
        self.operation(HttpMethod::Post, path, said)
    }

    fn put(&mut self, path: &'static str, said: &'static str) -> Operation<'_> {
        self.operation(HttpMethod::Put, path, said)
    }

    fn operation(
        &mut self,
        method: HttpMethod,
        path: &'static str,
        said: &'static str,
    ) -> Operation<'_> {
        let names = path.split('{').skip(1).filter_map(|part| part.split_once('}'));
        let parameters = names.map(|(name, _)| parameter(name, ParameterIn::Path)).collect();
        Operation { api: self, method, path, said, parameters, body: None, managed: false }
    }

    /// Describes a type, and says where.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }
}

impl Operation<'_> {
    /// Only who has the home's token may ask.
    const fn managed(mut self) -> Self {
        self.managed = true;
        self
    }

    /// What may stand in the address after `?`.
    fn query(mut self, names: &[&str]) -> Self {
        self.parameters.extend(names.iter().map(|name| parameter(name, ParameterIn::Query)));
        self
    }

    fn body<T: ToSchema>(mut self) -> Self {
        self.body = Some((JSON, Some(self.api.schema::<T>())));
        self
    }

    fn takes_bytes(mut self) -> Self {
        self.body = Some((BYTES, None));
        self
    }

    fn answers<T: ToSchema>(self) {
        let schema = self.api.schema::<T>();
        self.end((JSON, Some(schema)));
    }

    fn answers_list_of<T: ToSchema>(self) {
        let element = self.api.schema::<T>();
        self.end((JSON, Some(ArrayBuilder::new().items(element).into())));
    }

    fn answers_device(self) {
        Named::<DeviceId>::schemas(&mut self.api.schemas);
        self.end((JSON, Some(Named::<DeviceId>::schema())));
    }

    fn answers_nothing(self) {
        self.end((JSON, Some(ObjectBuilder::new().schema_type(Type::Null).into())));
    }

    fn answers_bytes(self) {
        self.end((BYTES, None));
    }

    fn answers_events(self) {
        self.end((EVENTS, None));
    }

    fn end(self, (kind, schema): Body) {
        let error = self.api.schema::<ErrorBody>();
        let content = |schema: Option<RefOr<Schema>>| Content::new(schema);
        let good = ResponseBuilder::new().description("As asked.").content(kind, content(schema));
        let bad =
            ResponseBuilder::new().description("Why not.").content(JSON, content(Some(error)));
        let body = self.body.map(|(kind, schema)| {
            let required = Some(Required::True);
            RequestBodyBuilder::new().content(kind, content(schema)).required(required).build()
        });
        let token = SecurityRequirement::new(TOKEN, std::iter::empty::<String>());
        // What is open on loopback demands the token where the daemon was told so.
        let open = (!self.managed).then(SecurityRequirement::default);
        let operation = OperationBuilder::new()
            .summary(Some(self.said))
            .parameters(Some(self.parameters))
            .request_body(body)
            .response("200", good)
            .response("default", bad)
            .securities(Some(open.into_iter().chain([token])));
        self.api.paths.add_path_operation(self.path, vec![self.method], operation.build());
    }
}

fn parameter(name: &str, place: ParameterIn) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let text = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(text))
        .build()
}

fn describe() -> OpenApi {
    let mut api = Api::default();
    workspace(&mut api);
    runs(&mut api);
    blobs(&mut api);
    models(&mut api);
    device(&mut api);
    let Api { paths, schemas } = api;
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(TOKEN, SecurityScheme::Http(token));
    let about = "What the page and the command line ask. Times are milliseconds since 1970, sizes are \
                 bytes; fields are only ever added.";
    let info = InfoBuilder::new()
        .title("runmesh")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url(ROOT).build()]))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

fn workspace(api: &mut Api) {
    api.get("/openapi.json", "This description.").answers::<serde_json::Value>();
    api.get("/status", "How this device is doing.").answers::<Status>();
    api.get("/peers", "The other devices of the workspace.").answers_list_of::<Peer>();
    api.get("/members", "Who may do what, and who could join.").answers::<Members>();
    api.get("/events", "An event whenever there may be something new.").answers_events();
    api.post("/audit", "What was done, newest first.").body::<AuditQuery>().answers::<AuditPage>();
    api.get("/conflicts", "What devices set differently while apart.").answers::<Conflicts>();
    api.post("/conflicts/resolve", "Takes one of the values.")
        .body::<ResolveConflict>()
        .answers::<ConflictInfo>();
    api.get("/workspaces", "The workspaces of this device.").answers_list_of::<WorkspaceInfo>();
    api.get("/views", "Views that were saved.").answers_list_of::<SavedView>();
    api.post("/views", "Saves a view, or forgets it.").body::<ViewUpdate>().answers_nothing();
}

fn runs(api: &mut Api) {
    api.get("/experiments", "All experiments, by name.").answers_list_of::<Experiment>();
    api.post("/experiments", "Creates one.").body::<NewExperiment>().answers::<Experiment>();
    api.post("/experiments/{experiment}", "Changes one.")
        .body::<ExperimentUpdate>()
        .answers_nothing();
    api.get("/columns", "What runs have; `experiment` may stand several times.")
        .query(&["experiment"])
        .answers::<Columns>();
    api.post("/curves", "Histories, thinned to what a chart can show.")
        .body::<CurveQuery>()
        .answers_list_of::<Curve>();
    api.post("/runs/search", "Runs, whole.").body::<RunSearch>().answers::<FoundRuns>();
    api.post("/runs/table", "A part of a long table.").body::<TableQuery>().answers::<TablePage>();
    api.post("/runs/groups", "Runs taken together by what they have in a column.")
        .body::<GroupQuery>()
        .answers::<Groups>();
    api.post("/runs/update", "Changes runs.").body::<RunsUpdate>().answers_nothing();
    api.get("/runs/{run}", "A run, by its id or the start of it.").answers::<RunDetails>();
    api.get("/runs/{run}/artifacts", "What a folder holds, or a file is.")
        .query(&["path", "recursive"])
        .answers_list_of::<Artifact>();
    api.get("/runs/{run}/artifact", "The bytes of a file, or a range of them.")
        .query(&["path"])
        .answers_bytes();
    api.put("/runs/{run}/artifact", "Stores a file.")
        .query(&["path"])
        .takes_bytes()
        .answers::<Artifact>();
}

fn blobs(api: &mut Api) {
    api.get("/runs/{run}/holders", "Which devices hold the files of a run.")
        .query(&["path"])
        .answers_list_of::<Held>();
    api.get("/blobs/{hash}/holders", "Which devices hold a blob.").answers::<Held>();
    api.get("/transfers", "How far fetching blobs is.").answers::<Transfers>();
    api.get("/pins", "What is kept here whatever the policy.").answers_list_of::<PinInfo>();
    api.post("/pins", "Keeps something here.").managed().body::<PinRequest>().answers::<PinInfo>();
    api.post("/pins/remove", "Keeps it no more than the policy says.")
        .managed()
        .body::<PinRequest>()
        .answers::<PinInfo>();
    api.post("/gc", "Frees blobs that this device need not hold.")
        .managed()
        .body::<CollectRequest>()
        .answers::<Collected>();
    api.post("/runs/purge", "Takes deleted runs away for good, everywhere.")
        .managed()
        .body::<PurgeRequest>()
        .answers::<PurgedRuns>();
    api.post("/runs/{run}/purge", "Takes a deleted run away for good, everywhere.")
        .managed()
        .answers::<Purged>();
}

fn models(api: &mut Api) {
    api.get("/logged-models/{model}", "A logged model.").answers::<LoggedModelDetails>();
    api.get("/logged-models/{model}/artifacts", "What a folder of it holds, or a file is.")
        .query(&["path", "recursive"])
        .answers_list_of::<Artifact>();
    api.get("/logged-models/{model}/artifact", "The bytes of a file of it, or a range of them.")
        .query(&["path"])
        .answers_bytes();
    api.get("/runs/{run}/versions", "What a run was registered as.")
        .answers_list_of::<VersionOfRun>();
    api.get("/models", "The registered models.").answers_list_of::<RegisteredModel>();
    api.get("/models/{name}", "One, with its versions and history.").answers::<ModelDetails>();
    api.post("/models/register", "Registers what a run logged as the next version.")
        .body::<RegisterModel>()
        .answers::<ModelVersion>();
    api.post("/models/promote", "Moves a version to a stage, or gives it an alias.")
        .body::<PromoteModel>()
        .answers::<ModelVersion>();
    api.post("/models/resolve", "Says which of several versions keeps a number.")
        .body::<ResolveModel>()
        .answers::<ModelVersion>();
}

/// What demands the home's token.
fn device(api: &mut Api) {
    api.post("/invite", "Makes a ticket.")
        .managed()
        .body::<InviteRequest>()
        .answers::<Invitation>();
    api.post("/members/remove", "Removes a device.")
        .managed()
        .body::<RemoveRequest>()
        .answers_device();
    api.post("/members/role", "Says what a device may do.")
        .managed()
        .body::<RoleRequest>()
        .answers_device();
    api.post("/members/rename", "Says what a device is called.")
        .managed()
        .body::<RenameRequest>()
        .answers_device();
    api.post("/members/revoke", "Has a ticket let nobody in any more.")
        .managed()
        .body::<RevokeRequest>()
        .answers_nothing();
    api.get("/recovery", "The recovery ticket, while it is kept here.")
        .managed()
        .answers::<RecoveryTicket>();
    api.operation(HttpMethod::Delete, "/recovery", "Forgets it.")
        .managed()
        .answers::<RecoveryTicket>();
    api.get("/join", "How far joining is.").managed().answers_list_of::<Joining>();
    api.post("/join", "Joins a workspace.").managed().body::<JoinRequest>().answers::<Joined>();
    api.post("/bundle/export", "Writes a bundle.")
        .managed()
        .body::<ExportRequest>()
        .answers_bytes();
    api.put("/bundle/import", "Reads a bundle and stores what it holds.")
        .managed()
        .takes_bytes()
        .answers::<BundleReport>();
    api.put("/bundle/inspect", "Reads a bundle and stores nothing.")
        .managed()
        .takes_bytes()
        .answers::<BundleReport>();
    api.post("/workspaces/create", "Founds a workspace.")
        .managed()
        .body::<CreateWorkspace>()
        .answers::<WorkspaceInfo>();
    api.post("/workspaces/use", "Chooses the one that clients get who name none.")
        .managed()
        .body::<UseWorkspace>()
        .answers::<WorkspaceInfo>();
    api.post("/workspaces/rename", "Calls one something else on this device.")
        .managed()
        .body::<RenameWorkspace>()
        .answers::<WorkspaceInfo>();
    api.post("/workspaces/leave", "Says what leaving one takes from this device, or does it.")
        .managed()
        .body::<LeaveWorkspace>()
        .answers::<LeaveReport>();
    api.post("/copy", "Copies runs into another workspace of this device.")
        .managed()
        .body::<CopyRequest>()
        .answers::<Copies>();
    api.post("/audit/verify", "Verifies every entry that is here.")
        .managed()
        .answers::<AuditReport>();
    api.post("/backup", "Copies the home, as a tar file.").managed().answers_bytes();
    api.post("/sync", "Waits until all connected devices hold the same.")
        .managed()
        .body::<SyncRequest>()
        .answers::<SyncReport>();
    api.get("/doctor", "Looks whether all is well.")
        .managed()
        .query(&["all"])
        .answers::<Diagnosis>();
    api.post("/doctor/rebuild", "Derives anew what is derived.")
        .managed()
        .query(&["all"])
        .answers::<Diagnosis>();
    api.post("/shutdown", "Stops the daemon.").managed().answers_nothing();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The methods that a router's source gives a path: `get(artifacts::get).put(artifacts::put)`.
    fn methods(handlers: &str) -> impl Iterator<Item = &str> {
        let calls = handlers.split('(');
        calls.map(|text| {
            text.rsplit(|char: char| !char.is_alphanumeric()).next().unwrap_or_default()
        })
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let source = include_str!("mod.rs");
        let mut routes = BTreeSet::new();
        for route in source.split(".route(").skip(1) {
            let (path, rest) = route.split_once("\",").expect("a path and what answers there");
            let path = path.trim_start_matches(|char: char| char == '"' || char.is_whitespace());
            let rest = rest.split("\n        .").next().unwrap_or(rest);
            let known = ["get", "post", "put", "delete"];
            for method in methods(rest).filter(|method| known.contains(method)) {
                routes.insert(format!("{method} {path}"));
            }
        }
        let document: serde_json::Value = serde_json::from_str(&DOCUMENT).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let described = paths.iter().flat_map(|(path, item)| {
            let item = item.as_object().expect("operations by method");
            item.keys().map(move |method| format!("{method} {path}"))
        });
        assert_eq!(described.collect::<BTreeSet<_>>(), routes);
    }

    #[test]
    fn every_type_that_is_named_is_described() {
        let document: serde_json::Value = serde_json::from_str(&DOCUMENT).expect("JSON");
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let named = DOCUMENT.split("\"#/components/schemas/").skip(1);
        for name in named.filter_map(|rest| rest.split('"').next()) {
            assert!(schemas.contains_key(name), "{name} is named and not described");
        }
    }
}
