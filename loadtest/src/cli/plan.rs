//! `plan`: how much of everything a number of people takes, on paper.
//!
//! Must never connect to anything.

use hubbub_load::plan::{self, Workload};

use super::{Failure, output};

/// `hubbub-load plan`
#[derive(clap::Args, Debug)]
pub(super) struct Plan {
    /// People who are known
    #[arg(long, default_value_t = Workload::default().users)]
    users: f64,
    /// The part of them that is connected at the busiest hour
    #[arg(long, default_value_t = Workload::default().online)]
    online: f64,
    /// Tabs and devices of one who is
    #[arg(long, default_value_t = Workload::default().connections_per_user)]
    connections_per_user: f64,
    /// Messages that one who is online writes in that hour
    #[arg(long, default_value_t = Workload::default().messages_per_hour)]
    messages_per_hour: f64,
    /// Connections that a message goes to, on average
    #[arg(long, default_value_t = Workload::default().listeners)]
    listeners: f64,
    /// Rooms that a connection follows
    #[arg(long, default_value_t = Workload::default().rooms_per_connection)]
    rooms: f64,
    /// Bytes of a message's text
    #[arg(long, default_value_t = Workload::default().body_bytes)]
    body: f64,
    /// How many such hours a day has
    #[arg(long, default_value_t = Workload::default().hours_per_day)]
    hours_per_day: f64,
    /// Days that messages are kept
    #[arg(long, default_value_t = Workload::default().days)]
    days: f64,
    /// The balancer ends TLS, the nodes speak plain
    #[arg(long)]
    plain: bool,
    /// Processors of a node
    #[arg(long, default_value_t = Workload::default().cores)]
    cores: f64,
    /// Memory of a node, in GiB
    #[arg(long, default_value_t = Workload::default().memory_bytes / GIB, value_name = "GIB")]
    memory: f64,
    /// Connections that a node may hold at most: they come to the others when it is lost
    #[arg(long, default_value_t = Workload::default().connections_per_node)]
    per_node: f64,
    /// The part of both that may be busy at that hour
    #[arg(long, default_value_t = Workload::default().utilisation)]
    utilisation: f64,
    /// Nodes that may be gone without anybody feeling it
    #[arg(long, default_value_t = Workload::default().spare)]
    spare: f64,
    /// For programs
    #[arg(long)]
    json: bool,
}

const GIB: f64 = 1_073_741_824.0;

/// Answers.
pub(super) fn run(options: &Plan) -> Result<(), Failure> {
    let workload = Workload {
        users: options.users,
        online: options.online,
        connections_per_user: options.connections_per_user,
        messages_per_hour: options.messages_per_hour,
        listeners: options.listeners,
        rooms_per_connection: options.rooms,
        body_bytes: options.body,
        hours_per_day: options.hours_per_day,
        days: options.days,
        tls: !options.plain,
        cores: options.cores,
        memory_bytes: options.memory * GIB,
        connections_per_node: options.per_node,
        utilisation: options.utilisation,
        spare: options.spare,
    };
    plan::check(&workload).map_err(Failure::Usage)?;
    let plan = plan::plan(&workload);
    if options.json {
        let text = serde_json::to_string_pretty(&plan).map_err(|error| Failure::Failed(error.to_string()))?;
        return output::print(&text);
    }
    let what = plan.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let shown: Vec<String> = plan.rows.iter().map(plan::Row::shown).collect();
    let value = shown.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = plan
        .rows
        .iter()
        .zip(&shown)
        .map(|(row, shown)| format!("{:<what$}  {shown:>value$}   {}", row.what, row.how))
        .collect();
    output::print(&lines.join("\n"))?;
    output::tell(
        "prices of a machine with two processors (docs/performance.md); measure your own with `hubbub-load run`",
    );
    Ok(())
}
