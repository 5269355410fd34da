//! What the labels say.

use super::*;

fn metrics() -> (Registry, Arc<Metrics>) {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    (registry, metrics)
}

/// The one series of a family with these label values, in the order of their names.
fn value(registry: &Registry, name: &str, labels: &[&str]) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).expect(name);
    let series = family.get_metric().iter().find(|series| {
        let values: Vec<&str> = series.get_label().iter().map(|label| label.value()).collect();
        values == labels
    });
    series.unwrap_or_else(|| panic!("{name} has no {labels:?}")).get_counter().get_value()
}

#[test]
fn every_route_of_the_api_has_its_label() {
    let source = include_str!("../http/api.rs");
    let routes: Vec<&str> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() > 5, "the routes are written in another way now");
    for route in routes {
        assert!(declared::ROUTES.contains(&route), "{route}");
    }
}

#[test]
fn what_a_client_makes_up_gets_no_label_of_its_own() {
    let (registry, metrics) = metrics();
    let method = Method::from_bytes(b"BREW").unwrap();
    metrics.requested(Some("/v1/made-up"), &method, StatusCode::from_u16(999).unwrap());
    metrics.requested(Some("/v1/rooms"), &Method::GET, StatusCode::OK);
    assert!((value(&registry, "hubbub_http_requests_total", &["other", "unmatched", "5xx"]) - 1.0).abs() < 0.1);
    assert!((value(&registry, "hubbub_http_requests_total", &["GET", "/v1/rooms", "2xx"]) - 1.0).abs() < 0.1);
}

#[test]
fn each_error_is_counted_under_its_own_name() {
    let (registry, metrics) = metrics();
    for (index, code) in ErrorCode::ALL.iter().enumerate() {
        (0..=index).for_each(|_| metrics.told(*code));
    }
    for (index, code) in ErrorCode::ALL.iter().enumerate() {
        let counted = value(&registry, "hubbub_errors_total", &[code.name()]);
        assert!((counted - (index + 1) as f64).abs() < 0.1, "{}: {counted}", code.name());
    }
}

#[test]
fn only_what_is_about_identity_is_a_failure_to_prove_it() {
    let (registry, metrics) = metrics();
    metrics.auth_failed(ErrorCode::Unavailable);
    metrics.auth_failed(ErrorCode::CredentialsWrong);
    assert!((value(&registry, "hubbub_auth_failures_total", &["credentials_wrong"]) - 1.0).abs() < 0.1);
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "hubbub_auth_failures_total").unwrap();
    let all: f64 = family.get_metric().iter().map(|series| series.get_counter().get_value()).sum();
    assert!((all - 1.0).abs() < 0.1, "a database that is gone was counted");
}

#[test]
fn a_label_stands_where_its_variant_does() {
    for (index, outcome) in Handshake::ALL.iter().enumerate() {
        assert_eq!((Handshake::NAMES[index], *outcome as usize), (outcome.name(), index));
    }
    for (index, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, index);
    }
    for (index, source) in ReplaySource::ALL.iter().enumerate() {
        assert_eq!((ReplaySource::NAMES[index], *source as usize), (source.name(), index));
    }
    assert_eq!(Followed::ALL.len(), Followed::NAMES.len());
}
