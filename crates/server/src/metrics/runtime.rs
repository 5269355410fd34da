//! What tokio tells of its workers and tasks.
//!
//! Must never be asked for anything that costs a task or a lock of the runtime.

use hubbub_metrics::{Metric, OnDemand, metrics, open};
use prometheus::Registry;
use prometheus::core::Collector;
use tokio::runtime::Handle;

metrics! {
    /// What the runtime tells.
    pub(super) METRICS:
    static WORKERS = Metric::gauge(
        "hubbub_runtime_workers", "Worker threads that run the tasks.",
        "How many processors the node can use.");
    static BUSY = Metric::counter(
        "hubbub_runtime_worker_busy_seconds_total", "How long each worker thread has run tasks.",
        "A rate of 1 is a worker without a pause: tasks wait for it. One alone at 1 has a task that does not give way.")
        .by(&[open("worker", "a number for each worker thread, from 0")]);
    static TASKS = Metric::gauge(
        "hubbub_runtime_tasks", "Tasks that have not ended.",
        "About one for each connection.");
    static QUEUE = Metric::gauge(
        "hubbub_runtime_queue_tasks", "Tasks that wait in the queue which all workers share.",
        "Stays above 0 when the node has more to do than its processors can.");
}

/// Shows the runtime that this is called on; nothing where there is none.
pub(super) fn show(registry: &Registry) -> prometheus::Result<()> {
    let Ok(handle) = Handle::try_current() else { return Ok(()) };
    let (workers, busy) = (WORKERS.unregistered_gauge()?, BUSY.unregistered_counters()?);
    let (tasks, queue) = (TASKS.unregistered_gauge()?, QUEUE.unregistered_gauge()?);
    let shown: Vec<Box<dyn Collector>> =
        vec![Box::new(workers.clone()), Box::new(busy.clone()), Box::new(tasks.clone()), Box::new(queue.clone())];
    let runtime = handle.metrics();
    let busy: Vec<_> = (0..runtime.num_workers()).map(|worker| busy.with_label_values(&[worker.to_string()])).collect();
    let refresh = move || {
        workers.set(runtime.num_workers() as f64);
        tasks.set(runtime.num_alive_tasks() as f64);
        queue.set(runtime.global_queue_depth() as f64);
        for (worker, counter) in busy.iter().enumerate() {
            let seconds = runtime.worker_total_busy_duration(worker).as_secs_f64();
            counter.inc_by((seconds - counter.get()).max(0.0));
        }
    };
    OnDemand::new(shown, refresh).register(registry)
}
