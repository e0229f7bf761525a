//! Two hundred simulated networks. `RUNMESH_SEED=17 cargo nextest run -p runmesh-tests one_seed`
//! repeats one of them.

use runmesh_tests::simulation::Simulation;

/// Says which seed it was, if its test panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was seed {}; RUNMESH_SEED={} repeats it", self.0, self.0);
        }
    }
}

fn simulate(seed: u64) -> Simulation {
    let seed = Seed(seed);
    let mut simulation = Simulation::new(seed.0);
    simulation.run();
    simulation.check();
    simulation
}

/// Simulates some seeds, and makes sure that what they are to survive did happen.
fn simulate_all(seeds: std::ops::Range<u64>) {
    let (mut lost, mut repeated, mut cuts, mut crashes) = (0, 0, 0, 0);
    let (mut acknowledged, mut purged) = (0, 0);
    let (mut restricted, mut rewound, mut misdeeds, mut carried) = (0, 0, 0, 0);
    for seed in seeds {
        let tally = simulate(seed).tally;
        lost += tally.lost;
        repeated += tally.repeated;
        cuts += tally.cuts;
        crashes += tally.crashes;
        acknowledged += tally.acknowledged;
        purged += tally.purged;
        restricted += tally.restricted;
        rewound += tally.rewound;
        carried += tally.carried;
        misdeeds += tally.misdeeds;
    }
    eprintln!(
        "{acknowledged} acknowledged, {purged} purged, {lost} lost, {repeated} repeated, {cuts} cuts, \
         {crashes} crashes, {restricted} removed or demoted, {carried} changes carried, {rewound} put back, {misdeeds} misdeeds"
    );
    assert!(restricted.min(rewound) > 4 && misdeeds > 50 && carried > 0);
    assert!(lost.min(repeated).min(cuts).min(crashes).min(purged) > 50 && acknowledged > 5000);
}

#[test]
fn devices_agree_after_healing_seeds_0_to_49() {
    simulate_all(0..50);
}

#[test]
fn devices_agree_after_healing_seeds_50_to_99() {
    simulate_all(50..100);
}

#[test]
fn devices_agree_after_healing_seeds_100_to_149() {
    simulate_all(100..150);
}

#[test]
fn devices_agree_after_healing_seeds_150_to_199() {
    simulate_all(150..200);
}

/// `tests/nightly` runs it, on all cores. That a seed fails keeps no other from being tried.
#[test]
#[ignore = "takes many minutes"]
fn devices_agree_after_healing_seeds_200_to_999() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = (0..cores as u64).map(|first| (200 + first..1000).step_by(cores));
    let fails = |seed: &u64| std::panic::catch_unwind(|| simulate(*seed)).is_err();
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let tried: Vec<_> = seeds
            .map(|seeds| scope.spawn(move || seeds.filter(fails).collect::<Vec<_>>()))
            .collect();
        tried.into_iter().flat_map(|tried| tried.join().expect("panics are caught")).collect()
    });
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
}

#[test]
fn one_seed() {
    let seed = std::env::var("RUNMESH_SEED").map(|seed| seed.parse().expect("a number"));
    let again = simulate(seed.clone().unwrap_or(1000));
    let once_more = simulate(seed.unwrap_or(1000));
    let tally = |simulation: &Simulation| format!("{:?}", simulation.tally);
    assert_eq!(tally(&again), tally(&once_more), "a seed gives the same again");
}
