//! What limits a service, in words, for `status NAME`. Pure.

use std::time::Duration;

use crate::service::{OverLimit, PerSource, Rate, Service};

/// A line for each limit that is set.
pub(super) fn words(service: &Service) -> Vec<String> {
    let rules = &service.admission;
    let mut lines = Vec::new();
    let over = match rules.over_limit {
        OverLimit::Queue => "more wait in the queue",
        OverLimit::Refuse => "more are refused",
    };
    if let Some(max) = rules.max_connections {
        lines.push(format!("{max} connections, {over}"));
    }
    let (v4, v6) = rules.source_prefix;
    let grouped = format!("each source (IPv4 /{v4}, IPv6 /{v6})");
    match (rules.max_per_source, rules.max_connections) {
        (PerSource::At(max), _) => lines.push(format!("{max} connections for {grouped}")),
        (PerSource::Half, Some(max)) => lines.push(format!(
            "{} connections for {grouped}, loopback and unix peers aside",
            (max.get() / 2).max(1)
        )),
        (PerSource::Half, None) | (PerSource::Unlimited, _) => {}
    }
    if let Some(rate) = rules.rate {
        let pause = rules.pause.map_or_else(String::new, |pause| {
            format!(", then a pause of {}", time(pause))
        });
        lines.push(format!("{} starts{pause}, {over}", rate_words(rate)));
    }
    if let Some(rate) = rules.rate_per_source {
        lines.push(format!("{} starts for {grouped}", rate_words(rate)));
    }
    if let Some(load) = rules.max_load {
        lines.push(format!("load {load}"));
    }
    let deadlines = &service.deadlines;
    for (name, limit) in [
        ("timeout", deadlines.timeout),
        ("idle_timeout", deadlines.idle),
        ("first_byte_timeout", deadlines.first_byte),
    ] {
        if let Some(limit) = limit {
            lines.push(format!("{name} {}", time(limit)));
        }
    }
    lines
}

/// `50/s`, `10/min burst 20`
fn rate_words(rate: Rate) -> String {
    let per = match rate.per.as_secs() {
        1 => "s".to_owned(),
        60 => "min".to_owned(),
        3600 => "h".to_owned(),
        _ => time(rate.per),
    };
    if rate.burst == rate.count {
        format!("{}/{per}", rate.count)
    } else {
        format!("{}/{per} burst {}", rate.count, rate.burst)
    }
}

/// `2m 30s`
fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn rates_are_told_as_they_are_written() {
        let rate = |count, per, burst| {
            rate_words(Rate {
                count: NonZeroU32::new(count).unwrap(),
                per: Duration::from_secs(per),
                burst: NonZeroU32::new(burst).unwrap(),
            })
        };
        assert_eq!(rate(50, 1, 50), "50/s");
        assert_eq!(rate(10, 60, 20), "10/min burst 20");
        assert_eq!(rate(3, 10, 3), "3/10s");
    }
}
