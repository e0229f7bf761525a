//! Transfer of blobs by runmesh beside iroh-blobs: both from disk to disk, over iroh on loopback, in
//! turns. Prints the median rates and their ratio.
//!
//! What is not the same: runmesh's blobs are durable when a fetch returns, bytes and names, and its
//! provider is asked for each blob whether the peer may have it. iroh-blobs syncs neither.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use iroh::endpoint::{Connection, presets};
use iroh::protocol::Router;
use iroh::{Endpoint, RelayMode};
use iroh_blobs::store::fs::FsStore;
use iroh_blobs::{BlobsProtocol, Hash};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runmesh_core::ids::WorkspaceId;
use runmesh_daemon::blobs::{self, Blobs, Gate, Provider, Wanted};
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Blobs that are fetched at the same time, as runmesh does it in the background.
const AT_ONCE: usize = 4;

/// Measures the transfer of blobs by runmesh beside iroh-blobs.
#[derive(Parser)]
struct Arguments {
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The folder whose disk is used.
    #[arg(long, default_value = "target")]
    folder: std::path::PathBuf,
}

/// So many blobs of a size.
struct Load {
    name: &'static str,
    count: usize,
    bytes: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "1 blob of 512 MiB", count: 1, bytes: 512 << 20 },
    Load { name: "16 blobs of 8 MiB", count: 16, bytes: 8 << 20 },
    Load { name: "1,000 blobs of 64 KiB", count: 1000, bytes: 64 << 10 },
];

impl Load {
    fn blobs(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut random = StdRng::seed_from_u64(self.bytes as u64);
        let bytes = self.bytes;
        (0..self.count).map(move |_| {
            let mut blob = vec![0; bytes];
            random.fill_bytes(&mut blob);
            blob
        })
    }
}

async fn endpoint(alpn: &[u8]) -> Outcome<Endpoint> {
    let builder = Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled);
    let builder = builder.clear_ip_transports().bind_addr("127.0.0.1:0")?;
    Ok(builder.alpns(vec![alpn.to_vec()]).bind().await?)
}

/// Runs `fetch` for all, some at once, and says how long it took.
async fn timed<T: Send + 'static, F>(all: Vec<T>, fetch: impl Fn(T) -> F) -> Outcome<Duration>
where
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let started = Instant::now();
    let mut fetching = JoinSet::new();
    for one in all {
        if fetching.len() == AT_ONCE {
            fetching.join_next().await.ok_or("there are some")???;
        }
        fetching.spawn(fetch(one));
    }
    while let Some(fetched) = fetching.join_next().await {
        fetched??;
    }
    Ok(started.elapsed())
}

async fn ours(load: &Load, folder: &Path) -> Outcome<Duration> {
    let workspace = WorkspaceId::new([1; 32]);
    let (from, to) = (tempfile::tempdir_in(folder)?, tempfile::tempdir_in(folder)?);
    let held = Blobs::in_folder(from.path())?;
    let mut wanted = Vec::new();
    for blob in load.blobs() {
        let imported = held.import(Cursor::new(blob)).await?;
        wanted.push(Wanted { hash: imported.hash, size: imported.size, uploaded_by: None });
    }
    let (asker, giver) = (endpoint(blobs::ALPN).await?, endpoint(blobs::ALPN).await?);
    let gate = Gate {
        admits: Box::new(|_| true),
        members: Box::new(|_, _| true),
        grants: Box::new(|_, _, _| true),
    };
    let provider = Provider::new(held, gate);
    let address = giver.addr();
    let serving = tokio::spawn(async move {
        while let Some(incoming) = giver.accept().await {
            if let Ok(connection) = incoming.await {
                provider.serve(connection).await;
            }
        }
    });
    let connection = asker.connect(address, blobs::ALPN).await?;
    let got = Blobs::in_folder(to.path())?;
    let took = timed(wanted, |wanted| {
        let (got, connection) = (got.clone(), connection.clone());
        async move { Ok(got.fetch(&connection, &workspace, &wanted, |_| {}).await?) }
    });
    let took = took.await?;
    serving.abort();
    Ok(took)
}

async fn theirs(load: &Load, folder: &Path) -> Outcome<Duration> {
    let (from, to) = (tempfile::tempdir_in(folder)?, tempfile::tempdir_in(folder)?);
    let held = FsStore::load(from.path()).await?;
    let mut wanted: Vec<Hash> = Vec::new();
    for blob in load.blobs() {
        wanted.push(held.blobs().add_bytes(blob).with_tag().await?.hash);
    }
    held.sync_db().await?;
    let (asker, giver) = (endpoint(iroh_blobs::ALPN).await?, endpoint(iroh_blobs::ALPN).await?);
    let address = giver.addr();
    let protocol = BlobsProtocol::new(&held, None);
    let router = Router::builder(giver).accept(iroh_blobs::ALPN, protocol).spawn();
    let connection: Connection = asker.connect(address, iroh_blobs::ALPN).await?;
    let got = FsStore::load(to.path()).await?;
    let took = timed(wanted, |hash| {
        let (got, connection) = (got.clone(), connection.clone());
        async move {
            got.remote().fetch(connection, hash).await?;
            Ok(())
        }
    });
    let took = took.await?;
    // This shuts the store down, too.
    router.shutdown().await?;
    got.shutdown().await?;
    Ok(took)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    println!(
        "| from disk to disk over loopback | runmesh, MB/s | iroh-blobs, MB/s | runmesh : iroh-blobs |"
    );
    println!("| --- | ---: | ---: | ---: |");
    for load in LOADS {
        let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
        let megabytes = (load.count * load.bytes) as f64 / 1e6;
        for _ in 0..arguments.rounds {
            our_rates.push(megabytes / ours(&load, &arguments.folder).await?.as_secs_f64());
            their_rates.push(megabytes / theirs(&load, &arguments.folder).await?.as_secs_f64());
        }
        let (our_rate, their_rate) = (median(our_rates), median(their_rates));
        let ratio = our_rate / their_rate;
        println!("| {} | {our_rate:.0} | {their_rate:.0} | {ratio:.2} |", load.name);
    }
    Ok(())
}
