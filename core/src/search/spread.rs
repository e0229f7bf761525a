//! How numbers are spread, told one by one.

/// How a metric is spread over runs. What is not finite does not count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricSpread {
    /// How many runs have a number.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, as of a sample; none of a single one.
    pub deviation: Option<f64>,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Numbers added up by Welford's method, which loses nothing to cancellation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    count: u64,
    mean: f64,
    squares: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    /// None if no number was added.
    pub(super) fn spread(&self) -> Option<MetricSpread> {
        let (min, max) = (self.min?, self.max?);
        // One value has no deviation that could be known.
        let deviation = (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt());
        Some(MetricSpread { count: self.count, mean: self.mean, deviation, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn a_spread_is_of_the_numbers_alone() {
        let spread = sum(&[1.0, f64::NAN, 3.0, f64::INFINITY]).spread().expect("two numbers");
        assert_eq!((spread.count, spread.mean), (2, 2.0));
        assert_eq!((spread.min, spread.max), (1.0, 3.0));
        assert!((spread.deviation.expect("of two") - 2f64.sqrt()).abs() < 1e-12);
        assert!(sum(&[f64::NAN]).spread().is_none());
        assert!(sum(&[7.0]).spread().expect("one").deviation.is_none());
    }

    #[test]
    fn a_small_spread_far_from_zero_is_not_lost() {
        let spread = sum(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).spread().expect("three");
        assert!((spread.deviation.expect("of three") - 1.0).abs() < 1e-6);
    }
}
