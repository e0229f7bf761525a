//! Points come back bit for bit; foreign bytes are read or refused.

#![allow(clippy::unwrap_used)]

use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::rows::{MetricContext, Point};

fn bits(point: &Point) -> (i64, i64, u64) {
    (point.step, point.timestamp_ms, point.value.to_bits())
}

fn all_bits(points: &[Point]) -> Vec<(i64, i64, u64)> {
    points.iter().map(bits).collect()
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -3..3i64, Just(i64::MIN), Just(i64::MAX)]
}

fn value() -> impl Strategy<Value = f64> {
    // Bits, for proptest's own floats leave out most kinds of NaN.
    let bits = any::<u64>().prop_map(f64::from_bits);
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, f64::MIN_POSITIVE];
    prop_oneof![bits, proptest::sample::select(special.to_vec()), -1.0..1.0, Just(0.25)]
}

fn point() -> impl Strategy<Value = Point> {
    (integer(), integer(), value()).prop_map(|(step, timestamp_ms, value)| Point {
        step,
        timestamp_ms,
        value,
    })
}

fn series() -> impl Strategy<Value = SeriesPoints> {
    let context = ("[am]{0,2}", "[d]{0,1}", "[g]{0,1}").prop_map(|(model_id, name, digest)| {
        MetricContext { model_id, dataset_name: name, dataset_digest: digest }
    });
    ("[a-c/]{1,3}", context, vec(point(), 0..40)).prop_map(|(key, context, points)| SeriesPoints {
        key,
        context,
        points,
    })
}

/// What a training loop logs: a loss that falls and jitters, as a 32-bit number made 64 bits long.
fn loss(step: i64) -> f64 {
    let noise = (step.wrapping_mul(2_654_435_761) >> 7) % 1_000;
    f64::from((2.0 * (-(step as f64) / 20_000.0).exp() + noise as f64 * 1e-5) as f32)
}

proptest! {
    #[test]
    fn points_survive_bit_for_bit(points in vec(point(), 0..600)) {
        let decoded = decode_columns(&encode_columns(&points)).unwrap();
        prop_assert_eq!(all_bits(&decoded), all_bits(&points));
    }

    #[test]
    fn an_operation_survives(mut all in vec(series(), 0..6)) {
        let decoded = decode_points(&encode_points(&all)).unwrap();
        all.sort_by(|a, b| (&a.key, &a.context).cmp(&(&b.key, &b.context)));
        prop_assert_eq!(decoded.len(), all.len());
        for (decoded, series) in decoded.iter().zip(&all) {
            prop_assert_eq!((&decoded.key, &decoded.context), (&series.key, &series.context));
            prop_assert_eq!(all_bits(&decoded.points), all_bits(&series.points));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = decode_columns(&bytes);
        let _ = decode_points(&bytes);
    }

    #[test]
    fn altered_points_are_read_or_refused(
        points in vec(point(), 20..400),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = encode_columns(&points);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode_columns(&bytes);
        let _ = decode_columns(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn merging_is_by_set(chunks in vec(vec(point(), 0..20), 0..6), again in 0..6usize) {
        let merged = merge(chunks.clone());
        prop_assert!(merged.is_sorted_by(|a, b| a.history_order(b).is_lt()));
        let mut expected: Vec<_> = chunks.iter().flatten().map(bits).collect();
        let mut found = all_bits(&merged);
        expected.sort_unstable();
        expected.dedup();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
        let repeated = chunks.iter().chain(chunks.get(again)).rev().cloned();
        prop_assert_eq!(all_bits(&merge(repeated)), all_bits(&merged));
    }
}

#[test]
fn the_content_of_a_points_operation_never_changes() {
    let point = |step, value| Point { step, timestamp_ms: 1_790_000_000_000 + 7 * step, value };
    let context = MetricContext { dataset_name: "valid".into(), ..MetricContext::default() };
    let few = vec![point(1, 0.5), point(2, f64::NEG_INFINITY), point(4, -0.0)];
    let many: Vec<Point> = (0..64).map(|step| point(step, step as f64 * 0.25)).collect();
    let series = [
        SeriesPoints { key: "loss".into(), context, points: few },
        SeriesPoints { key: "lr".into(), context: MetricContext::default(), points: many },
    ];
    let golden = [
        "02",                                               // two series
        "046c6f7373",                                       // loss
        "020576616c6964",                                   // no model, a dataset's name, no digest
        "0300",                                             // three points, all plain
        "020002",                                           // steps
        "8eb083c59868ffaf83c598680e",                       // timestamps
        "000000000000e03f000000000000f0ff0000000000000080", // values
        "026c72",                                           // lr
        "00",                                               // no context
        "4007",                                             // 64 points, all packed
        "170401100101800000000000000040000000000000000080", // steps
        "2a04017100000000000000100101800000000000000040000400060000000000000000dbeae6d2cd244912", // timestamps
        "6104010313610380170000000000000030e008000000000000001200e81f0000", // values
        "0000004080080004000000000000000000000000000008000000008000000000",
        "00009965f50010fc5305c0877f37131101000000f8ff5755555501804a259554",
        "1200",
    ];
    let bytes = HEXLOWER.decode(golden.concat().as_bytes()).unwrap();
    assert_eq!(decode_points(&bytes).as_deref(), Ok(&series[..]));
    // pco may come to pack in another way; what was packed must stay readable.
    assert_eq!(HEXLOWER.encode(&encode_points(&series)), golden.concat());
}

#[test]
fn a_point_takes_twenty_bytes_and_its_key() {
    let point = Point { step: 1_000, timestamp_ms: 1_790_000_000_000, value: 0.123_456_789 };
    let series =
        SeriesPoints { key: "loss".into(), context: MetricContext::default(), points: vec![point] };
    let bytes = encode_points(&[series]);
    assert!(bytes.len() <= 20 + "loss".len() + 3, "{} bytes", bytes.len());
}

#[test]
fn a_tight_loop_takes_under_four_bytes_a_point() {
    let point =
        |step| Point { step, timestamp_ms: 1_790_000_000_000 + step / 3, value: loss(step) };
    let points: Vec<Point> = (0..100_000).map(point).collect();
    let bytes = encode_columns(&points);
    assert!(bytes.len() < 4 * points.len(), "{} bytes", bytes.len());
    assert_eq!(all_bits(&decode_columns(&bytes).unwrap()), all_bits(&points));
}

#[test]
fn a_call_a_second_sealed_by_the_minute_takes_under_sixteen_bytes_a_point() {
    let jitter = |step: i64| step * 1_000 + (step * step) % 17;
    let value = |step: i64| loss(step) + (step as f64).sqrt() * 1e-9;
    let point =
        |step| Point { step, timestamp_ms: 1_790_000_000_000 + jitter(step), value: value(step) };
    let points: Vec<Point> = (500..560).map(point).collect();
    let series =
        SeriesPoints { key: "train/loss".into(), context: MetricContext::default(), points };
    // The rest is for the entry and the operation around it.
    let bytes = encode_points(&[series]);
    assert!(bytes.len() <= 60 * 16 - 150, "{} bytes", bytes.len());
}

#[test]
fn claims_are_checked_before_anything_is_allocated() {
    let mut claims = vec![];
    crate::codec::put_varint(&mut claims, u64::MAX);
    assert!(decode_columns(&claims).is_err());
    assert!(decode_points(&claims).is_err());
    // A window of 2^24 numbers and a dictionary of as many, claimed in a few bytes.
    for chunk in [&[0x20u8, 0xff, 0xff, 0xff][..], &[0x04, 0xff, 0xff, 0xff, 0xff]] {
        let mut bytes = vec![100, 1];
        let header = pco::wrapped::FileCompressor::default().write_header(Vec::new()).unwrap();
        crate::codec::put_bytes(&mut bytes, &[&header[..], chunk].concat());
        assert!(decode_columns(&bytes).is_err());
    }
}

#[test]
fn a_series_that_repeats_itself_comes_back() {
    // pco's automatic choice is to look back, which reading refuses.
    let scattered = |step: i64| (step % 61).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) as u64;
    let point = |step| Point { step, timestamp_ms: 0, value: f64::from_bits(scattered(step)) };
    let points: Vec<Point> = (0..5_000).map(point).collect();
    assert_eq!(all_bits(&decode_columns(&encode_columns(&points)).unwrap()), all_bits(&points));
}
