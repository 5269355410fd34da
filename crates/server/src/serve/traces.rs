//! Traces: from the configuration to the export, in a build that has one.
//!
//! Must never stop a node for its receiver: only for a configuration that can never work.

use prometheus::Registry;
use tokio::time::Instant;

use crate::config::Config;
use crate::failure::Failure;

/// What is wrong with a key, and which.
pub(crate) type Wrong = (&'static str, String);

/// The export of this process, if it traces.
#[derive(Debug, Default)]
pub(super) struct Traces {
    #[cfg(feature = "otlp")]
    export: Option<hubbub_trace::Export>,
}

/// Refuses what can never work.
pub(crate) fn check(config: &Config) -> Result<(), Wrong> {
    let trace = &config.trace;
    if trace.otlp_url.is_none() {
        return match (trace.otlp_headers.is_empty(), &trace.ca_file) {
            (false, _) => Err(("trace.otlp_headers", "is given, but `trace.otlp_url` is not".to_owned())),
            (true, Some(_)) => Err(("trace.ca_file", "is given, but `trace.otlp_url` is not".to_owned())),
            (true, None) => Ok(()),
        };
    }
    export::check(config)
}

impl Traces {
    /// Makes the process trace, if that is configured.
    pub(super) fn start(config: &Config, node: &str, registry: &Registry) -> Result<Self, Failure> {
        let metrics = hubbub_trace::Metrics::register(registry).map_err(|error| Failure::Refused(error.to_string()))?;
        export::start(config, node, metrics)
    }

    /// Sends the last spans, until `deadline` at the longest.
    pub(super) async fn finish(self, deadline: Instant) {
        #[cfg(feature = "otlp")]
        if let Some(export) = self.export {
            export.finish(deadline).await;
        }
        #[cfg(not(feature = "otlp"))]
        std::future::ready(deadline).await;
    }
}

#[cfg(feature = "otlp")]
mod export {
    use hubbub_request::EndpointError;
    use hubbub_trace::{Export, ExportConfig, ExportError, Metrics, Sampling, read_headers};

    use super::{Traces, Wrong};
    use crate::config::Config;
    use crate::failure::{Failure, one_line};

    pub(super) fn check(config: &Config) -> Result<(), Wrong> {
        let Some(export) = export_config(config, "check")? else { return Ok(()) };
        export.check().map_err(|error| match error {
            ExportError::Endpoint(EndpointError::Authorities { .. }) => {
                ("trace.ca_file", format!("is not usable: {error}"))
            }
            error => ("trace.otlp_url", format!("is not usable: {error}")),
        })
    }

    pub(super) fn start(config: &Config, node: &str, metrics: Metrics) -> Result<Traces, Failure> {
        let wrong = |(path, reason): Wrong| Failure::Misconfigured(format!("`{path}` {reason}"));
        let Some(export) = export_config(config, node).map_err(wrong)? else { return Ok(Traces::default()) };
        let export = Export::start(export, metrics).map_err(|error| Failure::Misconfigured(one_line(&error)))?;
        Ok(Traces { export: Some(export) })
    }

    fn export_config(config: &Config, node: &str) -> Result<Option<ExportConfig>, Wrong> {
        let trace = &config.trace;
        let Some(url) = trace.otlp_url.clone() else { return Ok(None) };
        let headers = read_headers(trace.otlp_headers.iter().map(|header| header.expose()));
        let headers = headers.map_err(|error| ("trace.otlp_headers", error.to_string()))?;
        let sampling = Sampling { one_in: trace.sample_one_in, per_second_max: trace.per_second_max, slow: trace.slow };
        let (ca_file, node) = (trace.ca_file.clone(), node.to_owned());
        Ok(Some(ExportConfig { url, headers, ca_file, node, version: env!("CARGO_PKG_VERSION"), sampling }))
    }
}

#[cfg(not(feature = "otlp"))]
mod export {
    use hubbub_trace::Metrics;

    use super::{Traces, Wrong};
    use crate::config::Config;
    use crate::failure::Failure;

    pub(super) fn check(_: &Config) -> Result<(), Wrong> {
        Err(("trace.otlp_url", "is given, but this build has no OTLP export (feature `otlp`)".to_owned()))
    }

    pub(super) fn start(_: &Config, _: &str, _: Metrics) -> Result<Traces, Failure> {
        // The configuration was checked: there is no receiver.
        Ok(Traces::default())
    }
}
