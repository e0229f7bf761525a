//! Numbers of metrics in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that JSON may not have: what is not finite travels as "NaN", "Infinity", "-Infinity".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value(pub f64);

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Value {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let words = ["NaN", "Infinity", "-Infinity"];
        let number = ObjectBuilder::new().schema_type(Type::Number);
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
        let about = "A number; what JSON has no number for is a word.";
        OneOfBuilder::new().item(number).item(word).description(Some(about)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Value {}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Word(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(value) => Ok(Self(value)),
            Form::Word(word) => match word.as_str() {
                "NaN" => Ok(Self(f64::NAN)),
                "Infinity" => Ok(Self(f64::INFINITY)),
                "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom(format!("not a number: {word:?}"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_json_lacks_survive() {
        let values = [0.1, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324];
        let json = serde_json::to_string(&values.map(Value)).expect("JSON");
        let back: Vec<Value> = serde_json::from_str(&json).expect("what we wrote");
        let bits = |value: &f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
        let (values, back): (Vec<_>, Vec<_>) =
            (values.iter().map(bits).collect(), back.iter().map(|value| bits(&value.0)).collect());
        assert_eq!(values, back);
        assert!(serde_json::from_str::<Value>("\"many\"").is_err());
    }
}
