//! What the allocator tells of the memory that it holds.
//!
//! Must never be a reason to free anything: that is the allocator's own decision.

use hubbub_metrics::{Metric, OnDemand, metrics};
use prometheus::core::Collector;
use prometheus::{Gauge, Registry};
use tikv_jemalloc_ctl::{Result, epoch, stats};

metrics! {
    /// What the allocator tells.
    pub(super) METRICS:
    static ALLOCATED = Metric::gauge(
        "hubbub_allocator_allocated_bytes", "Memory that the program uses.",
        "What grows without end here is kept by the program.");
    static ACTIVE = Metric::gauge(
        "hubbub_allocator_active_bytes", "Memory in pages of which the program uses at least a part.",
        "Far above `allocated`: what is used lies scattered.");
    static RESIDENT = Metric::gauge(
        "hubbub_allocator_resident_bytes", "Memory that the allocator holds in RAM.",
        "Far above `active`: freed, but not given back yet.");
    static RETAINED = Metric::gauge(
        "hubbub_allocator_retained_bytes", "Addresses that the allocator keeps for later, without memory behind them.",
        "Costs nothing.");
}

/// Shows them.
pub(super) fn show(registry: &Registry) -> prometheus::Result<()> {
    let gauges = [&ALLOCATED, &ACTIVE, &RESIDENT, &RETAINED].map(Metric::unregistered_gauge);
    let [allocated, active, resident, retained] = gauges;
    let gauges = [allocated?, active?, resident?, retained?];
    let shown = gauges.iter().map(|gauge| Box::new(gauge.clone()) as Box<dyn Collector>).collect();
    let refresh = move || {
        if let Err(error) = read(&gauges) {
            tracing::debug!(%error, "the allocator did not tell of itself");
        }
    };
    OnDemand::new(shown, refresh).register(registry)
}

fn read([allocated, active, resident, retained]: &[Gauge; 4]) -> Result<()> {
    // What follows is as of here.
    epoch::advance()?;
    allocated.set(stats::allocated::read()? as f64);
    active.set(stats::active::read()? as f64);
    resident.set(stats::resident::read()? as f64);
    retained.set(stats::retained::read()? as f64);
    Ok(())
}
