//! What a metrics page says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Stamp;

/// One series at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The metric's name, `_bucket`, `_sum` and `_count` included.
    pub name: String,
    /// Its labels; their order on the page means nothing.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its value. Counters are whole numbers, times are seconds since 1970. What
    /// JSON has no number for is written as `"NaN"`, `"inf"` or `"-inf"`.
    #[serde(with = "number")]
    pub value: f64,
}

impl Sample {
    /// The value of one label; the empty string where there is none, as
    /// Prometheus has it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// One reading of a metrics page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsObservation {
    /// Whose page, and when.
    pub stamp: Stamp,
    /// The series, in the page's order.
    pub samples: Vec<Sample>,
    /// Lines that are no samples, comments aside. They are left out.
    pub malformed_lines: u64,
    /// Whether the page was longer than what was read of it.
    pub cut: bool,
}

/// What moved between two readings of one page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsDelta {
    /// The series that changed, each with the difference as its value; a series
    /// that was not there before counts from 0.
    pub changed: Vec<Sample>,
    /// Whether the process began anew in between (`process_start_time_seconds`
    /// differs). Then every value counts from that start.
    pub restarted: bool,
}

mod number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        Word(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            value if value.is_finite() => serializer.serialize_f64(*value),
            value => serializer.collect_str(value),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match Number::deserialize(deserializer)? {
            Number::Finite(value) => Ok(value),
            Number::Word(word) => word.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_survives_json_whatever_its_value() {
        for value in [1.5, 0.0, f64::INFINITY, f64::NEG_INFINITY] {
            let labels = BTreeMap::from([("le".to_owned(), "+Inf".to_owned())]);
            let sample = Sample { name: "a".into(), labels, value };
            let json = serde_json::to_string(&sample).expect("JSON");
            assert_eq!(serde_json::from_str::<Sample>(&json).expect(&json), sample);
        }
        let nan: Sample = serde_json::from_str(r#"{"name":"a","value":"NaN"}"#).expect("a sample");
        assert!(nan.value.is_nan() && nan.label("le").is_empty());
    }
}
