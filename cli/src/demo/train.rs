//! Real training, small: softmax regression by gradient descent on the Palmer penguins.
//!
//! Invariants: the same settings give the same model on every machine; the birds that measure
//! accuracy are not those that were learnt from.

use serde::Serialize;

/// Names of the measurements, in the order of the columns.
pub(crate) const FEATURES: [&str; 4] =
    ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"];
/// Names of the species, in the order of a model's rows.
pub(crate) const SPECIES: [&str; 3] = ["Adelie", "Chinstrap", "Gentoo"];

const CSV: &str = include_str!("../../data/penguins.csv");

/// One bird of five is kept apart to measure accuracy.
const TEST_SHARE: usize = 5;

/// A bird: its measurements, standardised, and its species.
#[derive(Debug, Clone, Copy)]
struct Bird {
    features: [f64; FEATURES.len()],
    species: usize,
}

/// The birds, standardised by what is known of those to learn from.
#[derive(Debug)]
pub(crate) struct Birds {
    learn: Vec<Bird>,
    test: Vec<Bird>,
    means: [f64; FEATURES.len()],
    deviations: [f64; FEATURES.len()],
}

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// Size of a step down the gradient.
    pub(crate) learning_rate: f64,
    /// How strongly large weights are punished.
    pub(crate) l2: f64,
    /// How many steps.
    pub(crate) epochs: u32,
}

/// How well a model did after an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    /// Mean cross-entropy over the birds to learn from.
    pub(crate) loss: f64,
    /// Share of the birds kept apart whose species it names.
    pub(crate) accuracy: f64,
}

/// A trained model, with all that is needed to use it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Model {
    species: [&'static str; SPECIES.len()],
    features: [&'static str; FEATURES.len()],
    means: [f64; FEATURES.len()],
    deviations: [f64; FEATURES.len()],
    /// One row for each species.
    weights: [[f64; FEATURES.len()]; SPECIES.len()],
    biases: [f64; SPECIES.len()],
}

impl Birds {
    /// The birds that come with the program.
    pub(crate) fn embedded() -> Self {
        let raw: Vec<Bird> = CSV.lines().skip(1).map(parse_bird).collect();
        let is_test = |at: &usize| at % TEST_SHARE == TEST_SHARE - 1;
        let pick = |test: bool| -> Vec<Bird> {
            (0..raw.len()).filter(|at| is_test(at) == test).map(|at| raw[at]).collect()
        };
        let (mut learn, mut test) = (pick(false), pick(true));
        let count = learn.len() as f64;
        let (mut means, mut deviations) = ([0.0; FEATURES.len()], [0.0; FEATURES.len()]);
        for at in 0..FEATURES.len() {
            let mean = learn.iter().map(|bird| bird.features[at]).sum::<f64>() / count;
            let squares = learn.iter().map(|bird| (bird.features[at] - mean).powi(2));
            let deviation = (squares.sum::<f64>() / count).sqrt();
            for bird in learn.iter_mut().chain(&mut test) {
                bird.features[at] = (bird.features[at] - mean) / deviation;
            }
            (means[at], deviations[at]) = (mean, deviation);
        }
        Self { learn, test, means, deviations }
    }

    /// How many there are to learn from, and how many are kept apart.
    pub(crate) const fn counts(&self) -> (usize, usize) {
        (self.learn.len(), self.test.len())
    }
}

fn parse_bird(line: &str) -> Bird {
    let mut fields = line.split(',');
    let name = fields.next().expect("a line of the embedded file has fields");
    let species = SPECIES.iter().position(|species| *species == name);
    let features = FEATURES.map(|_| {
        let number = fields.next().and_then(|field| field.parse().ok());
        number.expect("the embedded file has a number in every column")
    });
    Bird { features, species: species.expect("the embedded file has three species") }
}

/// Trains a model; `each` is told how every epoch went, and may stop it with an error.
pub(crate) fn train<E>(
    birds: &Birds,
    settings: Settings,
    mut each: impl FnMut(u32, Score) -> Result<(), E>,
) -> Result<Model, E> {
    let mut model = Model {
        species: SPECIES,
        features: FEATURES,
        means: birds.means,
        deviations: birds.deviations,
        weights: [[0.0; FEATURES.len()]; SPECIES.len()],
        biases: [0.0; SPECIES.len()],
    };
    for epoch in 0..settings.epochs {
        let loss = model.step(&birds.learn, settings);
        each(epoch, Score { loss, accuracy: model.accuracy(&birds.test) })?;
    }
    Ok(model)
}

impl Model {
    /// Goes one step down the gradient; returns the loss before it.
    fn step(&mut self, birds: &[Bird], settings: Settings) -> f64 {
        let mut weights = [[0.0; FEATURES.len()]; SPECIES.len()];
        let mut biases = [0.0; SPECIES.len()];
        let mut loss = 0.0;
        for bird in birds {
            let odds = self.odds(&bird.features);
            loss -= odds[bird.species].max(f64::MIN_POSITIVE).ln();
            for species in 0..SPECIES.len() {
                let error = odds[species] - f64::from(u8::from(species == bird.species));
                biases[species] += error;
                for (sum, feature) in weights[species].iter_mut().zip(bird.features) {
                    *sum += error * feature;
                }
            }
        }
        let count = birds.len() as f64;
        for species in 0..SPECIES.len() {
            self.biases[species] -= settings.learning_rate * biases[species] / count;
            for (weight, sum) in self.weights[species].iter_mut().zip(weights[species]) {
                *weight -= settings.learning_rate * (sum / count + settings.l2 * *weight);
            }
        }
        loss / count
    }

    /// How likely each species is.
    fn odds(&self, features: &[f64; FEATURES.len()]) -> [f64; SPECIES.len()] {
        let mut odds = self.biases;
        for (odd, weights) in odds.iter_mut().zip(&self.weights) {
            *odd += weights.iter().zip(features).map(|(weight, x)| weight * x).sum::<f64>();
        }
        // The largest becomes exp(0), so that none overflows.
        let largest = odds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let odds = odds.map(|odd| (odd - largest).exp());
        let sum: f64 = odds.iter().sum();
        odds.map(|odd| odd / sum)
    }

    fn accuracy(&self, birds: &[Bird]) -> f64 {
        let is_right = |bird: &&Bird| {
            let odds = self.odds(&bird.features);
            odds.iter().all(|odd| *odd <= odds[bird.species])
        };
        birds.iter().filter(is_right).count() as f64 / birds.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_falls_and_birds_never_seen_are_named() {
        let birds = Birds::embedded();
        assert_eq!(birds.counts(), (274, 68));
        let settings = Settings { learning_rate: 0.5, l2: 1e-3, epochs: 100 };
        let mut scores = Vec::new();
        let done = train(&birds, settings, |_, score| {
            scores.push(score);
            Ok::<(), ()>(())
        });
        assert!(done.is_ok());
        // Before the first step every species is as likely: the loss is ln 3.
        assert!((scores[0].loss - 3f64.ln()).abs() < 1e-12, "{}", scores[0].loss);
        assert!(scores.windows(2).all(|pair| pair[1].loss < pair[0].loss));
        let last = scores.last().expect("a hundred");
        assert!(last.loss < 0.1, "{}", last.loss);
        assert!(last.accuracy > 0.9, "{}", last.accuracy);
    }

    #[test]
    fn training_stops_when_told_to() {
        let settings = Settings { learning_rate: 0.1, l2: 0.0, epochs: 10 };
        let stopped =
            train(
                &Birds::embedded(),
                settings,
                |epoch, _| {
                    if epoch == 3 { Err(epoch) } else { Ok(()) }
                },
            );
        assert_eq!(stopped, Err(3));
    }
}
