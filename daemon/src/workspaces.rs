//! The workspaces of a device that are open: found by name, created, joined, left.
//!
//! Invariants: all workspaces of the home are open while the daemon runs, each with a writer and
//! sessions of its own; the home's list is changed before anybody is told so; what is done in one
//! workspace is never seen in another, but for what `copy` takes there.

mod leave;

use std::sync::{Arc, PoisonError, RwLock, Weak};

use axum::Router;
use runmesh_core::ids::WorkspaceId;
use runmesh_core::ticket::Ticket;

use crate::app::{App, AppError};
use crate::device::Device;
use crate::home::{ChangePlacesError, HomeError};
use crate::http;
use crate::mesh::{Admitted, EndpointError, JoinError, Joined};
use crate::places::{PlaceError, PlaceName};
use crate::workspace::{OpenError, Workspace};

pub use self::leave::{LeaveError, Stake};

/// Why nothing was done about a workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspacesError {
    /// The list of workspaces stays as it is.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The home's files failed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A workspace cannot be opened.
    #[error(transparent)]
    App(#[from] AppError),
    /// It was not joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// It was not left, or not all of it was freed.
    #[error(transparent)]
    Leave(#[from] LeaveError),
    /// It cannot be reached by others.
    #[error(transparent)]
    Mesh(#[from] EndpointError),
}

impl From<ChangePlacesError> for WorkspacesError {
    fn from(error: ChangePlacesError) -> Self {
        match error {
            ChangePlacesError::Place(error) => Self::Place(error),
            ChangePlacesError::Home(error) => Self::Home(error),
        }
    }
}

impl From<OpenError> for WorkspacesError {
    fn from(error: OpenError) -> Self {
        Self::App(error.into())
    }
}

/// An open workspace under its name.
#[derive(Clone)]
pub struct Space {
    /// What it is called in addresses.
    pub name: PlaceName,
    /// What its requests need.
    pub app: Arc<App>,
    /// What answers them.
    pub(crate) router: Router,
}

impl Space {
    fn new(name: PlaceName, app: Arc<App>) -> Self {
        Self { name, router: http::router(Arc::clone(&app)), app }
    }
}

struct Held {
    /// In the order in which they came.
    all: Vec<Space>,
    current: Space,
}

/// The workspaces of a device that are open.
pub struct Workspaces {
    device: Arc<Device>,
    held: RwLock<Held>,
    /// Held by who changes which there are.
    changing: tokio::sync::Mutex<()>,
}

impl Workspaces {
    /// Opens all workspaces of a home, which at the first start is one that is founded. Must be
    /// called on a tokio runtime.
    pub fn open(device: Arc<Device>) -> Result<Arc<Self>, AppError> {
        let first = Workspace::open(&device.home, &device.config.name)?;
        let Some(places) = device.home.places()? else {
            unreachable!("opening the first has written the list")
        };
        let (mut first, mut all) = (Some(first), Vec::new());
        for place in places.all() {
            let workspace = match first.take_if(|_| place.id == places.current().id) {
                Some(current) => current,
                None => Workspace::open_one(&device.home, place.id)?,
            };
            let app = Arc::new(App::of(Arc::clone(&device), workspace));
            all.push(Space::new(place.name.clone(), app));
        }
        let is_current = |space: &&Space| space.name == places.current().name;
        let current = all.iter().find(is_current).expect("a list holds its current one").clone();
        let changing = tokio::sync::Mutex::default();
        let workspaces =
            Arc::new(Self { held: RwLock::new(Held { all, current }), device, changing });
        workspaces.device.set_workspaces(&workspaces);
        Ok(workspaces)
    }

    /// Starts the sessions of all.
    pub async fn start_meshes(&self) -> Result<(), EndpointError> {
        for space in self.all() {
            space.app.start_mesh().await?;
        }
        Ok(())
    }

    /// The device.
    pub const fn device(&self) -> &Arc<Device> {
        &self.device
    }

    fn read<T>(&self, read: impl FnOnce(&Held) -> T) -> T {
        read(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> Vec<Space> {
        self.read(|held| held.all.clone())
    }

    /// The one that clients get if they name none.
    pub fn current(&self) -> Space {
        self.read(|held| held.current.clone())
    }

    /// What answers requests that name this workspace, or none.
    pub(crate) fn router(&self, name: Option<&str>) -> Option<Router> {
        self.read(|held| match name {
            None => Some(held.current.router.clone()),
            Some(name) => {
                let named = held.all.iter().find(|space| space.name.as_str() == name);
                named.map(|space| space.router.clone())
            }
        })
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Result<Space, PlaceError> {
        let found =
            self.read(|held| held.all.iter().find(|space| space.name.as_str() == name).cloned());
        found.ok_or_else(|| PlaceError::NoSuch(name.to_owned()))
    }

    /// The one of this id.
    pub fn with_id(&self, id: WorkspaceId) -> Option<Space> {
        self.all().into_iter().find(|space| space.app.workspace.id() == id)
    }

    /// A name that is free, and is or is like this one.
    pub fn free_name(&self, like: &str) -> Result<PlaceName, WorkspacesError> {
        let places = self.device.home.places()?;
        Ok(places.map_or_else(|| PlaceName::like(like), |places| places.free_name(like)))
    }

    /// Founds a workspace.
    pub async fn create(&self, name: PlaceName) -> Result<Space, WorkspacesError> {
        let _alone = self.changing.lock().await;
        let (home, device_name) = (&self.device.home, &self.device.config.name);
        self.check_free(&name)?;
        let workspace = Workspace::found(home, name.as_str(), device_name)?;
        self.take_in(name, workspace).await
    }

    /// Joins the workspace of a ticket beside those that there are. Without a name, it has one that
    /// is like its own.
    pub async fn join(
        &self,
        ticket: &Ticket,
        name: Option<PlaceName>,
        unmet: bool,
    ) -> Result<(Space, Joined), WorkspacesError> {
        let _alone = self.changing.lock().await;
        let like = name.as_ref().map_or("workspace", PlaceName::as_str);
        // Before anybody is asked.
        self.check(|places| match &name {
            Some(name) => places.may_add(ticket.workspace, name),
            None => places.may_add(ticket.workspace, &places.free_name(like)),
        })?;
        let through = self.current();
        let mesh = through.app.mesh().ok_or(JoinError::NoMesh)?;
        let home = &self.device.home;
        let admitted = match unmet {
            false => mesh.admit(home, ticket).await?,
            true => mesh.admit_unmet(home, ticket).await?,
        };
        let Admitted { workspace, joined } = admitted;
        let name = match name {
            Some(name) => name,
            None => self.free_name(&joined.name)?,
        };
        Ok((self.take_in(name, workspace).await?, joined))
    }

    fn check(
        &self,
        check: impl FnOnce(&crate::places::Places) -> Result<(), PlaceError>,
    ) -> Result<(), WorkspacesError> {
        let places = self.device.home.places()?;
        Ok(places.as_ref().map_or(Ok(()), check)?)
    }

    fn check_free(&self, name: &PlaceName) -> Result<(), WorkspacesError> {
        // No workspace has this id.
        let id = WorkspaceId::new([0; 32]);
        self.check(|places| places.may_add(id, name))
    }

    /// Lists a workspace that is open and has it be reached.
    async fn take_in(
        &self,
        name: PlaceName,
        workspace: Workspace,
    ) -> Result<Space, WorkspacesError> {
        let id = workspace.id();
        let listed = self.device.home.change_places(|places| places.add(id, name.clone()));
        if let Err(error) = listed {
            workspace.stop().await;
            return Err(error.into());
        }
        let space = Space::new(name, Arc::new(App::of(Arc::clone(&self.device), workspace)));
        if self.device.switchboard().is_some() {
            space.app.start_mesh().await?;
        }
        self.change(|held| held.all.push(space.clone()));
        Ok(space)
    }

    /// Makes a workspace the one that clients get if they name none.
    pub async fn choose(&self, name: &str) -> Result<Space, WorkspacesError> {
        let _alone = self.changing.lock().await;
        let space = self.named(name)?;
        self.device.home.change_places(|places| places.choose(name))?;
        self.change(|held| held.current = space.clone());
        Ok(space)
    }

    /// Calls a workspace something else. Clients that use the old name find nothing there.
    pub async fn rename(&self, name: &str, new: PlaceName) -> Result<Space, WorkspacesError> {
        let _alone = self.changing.lock().await;
        let renamed = Space { name: new.clone(), ..self.named(name)? };
        self.device.home.change_places(|places| places.rename(name, new))?;
        self.change(|held| {
            for space in held.all.iter_mut().chain([&mut held.current]) {
                if space.name.as_str() == name {
                    space.name = renamed.name.clone();
                }
            }
        });
        Ok(renamed)
    }

    /// Ends the sessions of all and closes their stores.
    pub async fn stop(&self) {
        let all = self.all();
        futures_util::future::join_all(all.iter().map(|space| space.app.stop())).await;
    }
}

/// The workspaces of a device, for what is part of one of them.
pub(crate) type WeakWorkspaces = Weak<Workspaces>;

#[cfg(test)]
mod tests;
